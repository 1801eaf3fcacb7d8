//! Names beside ours. A misspelt name would leave its setting at the default in silence, so it is a fault; the names of
//! others are none, because a foreign variable must not stop production.

use super::{
    reader::Reader,
    table::{ALIASES, PLATFORM, settings},
    vars::{Origin, Vars},
};

/// What the platform, the host and the libraries below us read.
const OF_OTHERS: [&str; 12] = [
    "FUNCTIONS_",
    "AzureWebJobs",
    "AzureFunctions",
    "WEBSITE_",
    "APPLICATIONINSIGHTS_",
    "APPINSIGHTS_",
    "ASPNETCORE_",
    "DOTNET_",
    "OTEL_",
    // App Service sets both forms of an app's identity endpoint, the older one beside today's.
    "IDENTITY_",
    "MSI_",
    "SCM_",
];
const PROXIES: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"];
/// A variable of the environment with a shorter name belongs to another program: `INCLUDE` of a compiler, for one.
const LONGER_THAN: usize = 8;
/// So many letters may be wrong, missing or too many.
const AWAY: usize = 2;

/// Tells every name in `vars` that is probably meant for us and is none of ours.
pub(super) fn check(reader: &Reader<'_>, vars: &dyn Vars) {
    let mut names = vars.names();
    names.sort();
    names.dedup_by(|later, earlier| later.0 == earlier.0);
    for (name, origin) in names {
        if is_known(&name) || vars.get(&name).is_none_or(|value| value.trim().is_empty()) {
            continue;
        }
        let meant = nearest(&name);
        let meant = match origin {
            Origin::File => meant,
            Origin::Environment if name.chars().count() > LONGER_THAN && meant.is_some() => meant,
            Origin::Environment => continue,
        };
        let advice = meant.map_or_else(
            || "remove it from the settings file; docs/settings.md lists the settings".to_owned(),
            |meant| format!("did you mean {meant}?"),
        );
        reader.fault(&name, format!("is no setting of mati-sync; {advice}"));
    }
}

fn ours() -> impl Iterator<Item = &'static str> {
    let names = settings().map(|setting| setting.name);
    names.chain(ALIASES.iter().map(|(alias, _)| *alias)).chain(PLATFORM.iter().copied())
}

pub(super) fn is_known(name: &str) -> bool {
    ours().any(|known| known == name)
        || PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name))
        || OF_OTHERS
            .iter()
            .any(|prefix| name.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix)))
}

/// The setting that a name resembles most, if it resembles any; case does not count.
fn nearest(name: &str) -> Option<&'static str> {
    let away = ours().map(|known| (distance(&known.to_uppercase(), &name.to_uppercase()), known));
    away.filter(|(away, _)| *away <= AWAY).min_by_key(|(away, _)| *away).map(|(_, known)| known)
}

/// How many letters have to be replaced, left out or put in (Levenshtein's distance).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().enumerate() {
        let mut before = row[0];
        row[0] = index + 1;
        for (column, other) in right.iter().enumerate() {
            let replaced = before + usize::from(letter != *other);
            before = row[column + 1];
            row[column + 1] = replaced.min(before + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn letters_are_counted() {
        for (left, right, away) in [
            ("", "", 0),
            ("", "abc", 3),
            ("PASSIVE_ONLY", "PASSIVE_ONY", 1),
            ("PASSIVE_ONLY", "PASSIVE_OLNY", 2),
            ("MATI_SECRET", "MSI_SECRET", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(left, right), away, "{left} {right}");
        }
    }

    proptest! {
        #[test]
        fn distance_is_a_metric(a in "[ab_]{0,6}", b in "[ab_]{0,6}", c in "[ab_]{0,6}") {
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
            prop_assert_eq!(distance(&a, &b) == 0, a == b);
            prop_assert!(distance(&a, &c) <= distance(&a, &b) + distance(&b, &c));
        }

        #[test]
        fn a_name_with_two_letters_wrong_is_recognised(
            which in 0..settings().count(), first in 0usize..40, second in 0usize..40, letter in "[A-Z_]",
        ) {
            let mut name: Vec<char> = settings().nth(which).unwrap().name.chars().collect();
            let place = first % name.len();
            name.remove(place);
            let place = second % (name.len() + 1);
            name.insert(place, letter.chars().next().unwrap());
            let name: String = name.into_iter().collect();
            prop_assert!(nearest(&name).is_some(), "{}", name);
        }
    }
}
