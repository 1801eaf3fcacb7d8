//! The built-in list of what an endpoint must never be told to act on, because a block of it is an outage of its own.
//!
//! Below the names of [`WHOLE`] their owners alone publish, so everything there is meant. Below those of [`ALONE`], and
//! under their paths, anybody publishes, attackers too: the name itself is meant, and nothing else.

use std::sync::LazyLock;

use super::{
    Builder, Lists,
    entry::{Entry, Parsed, bytes},
    plain,
    types::Types,
};
use crate::domain::{observable::IndicatorType, trivial::TRIVIAL};

/// The setting that switches it off, as which the list is named.
pub const NAME: &str = "EXCLUDE_VITAL";

/// Names with everything below them: signing in, updates, certificates, Defender itself, the clouds' own consoles.
pub const WHOLE: [&str; 31] = [
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
    "login.microsoft.com",
    "login.windows.net",
    "login.live.com",
    "sts.windows.net",
    "enterpriseregistration.windows.net",
    "graph.microsoft.com",
    "management.azure.com",
    "portal.azure.com",
    "security.microsoft.com",
    "securitycenter.windows.com",
    "wdcp.microsoft.com",
    "events.data.microsoft.com",
    "smartscreen.microsoft.com",
    "windowsupdate.com",
    "update.microsoft.com",
    "windowsupdate.microsoft.com",
    "delivery.mp.microsoft.com",
    "crl.microsoft.com",
    "ocsp.digicert.com",
    "crl3.digicert.com",
    "crl4.digicert.com",
    "outlook.office365.com",
    "teams.microsoft.com",
    "accounts.google.com",
    "time.windows.com",
    "gateway.icloud.com",
    "swcdn.apple.com",
    "swscan.apple.com",
];

/// Names alone.
pub const ALONE: [&str; 25] = [
    "microsoft.com",
    "www.microsoft.com",
    "office.com",
    "www.office.com",
    "office365.com",
    "live.com",
    "windows.net",
    "azure.com",
    "sharepoint.com",
    "bing.com",
    "www.bing.com",
    "google.com",
    "www.google.com",
    "googleapis.com",
    "gstatic.com",
    "apple.com",
    "www.apple.com",
    "icloud.com",
    "amazonaws.com",
    "amazon.com",
    "cloudflare.com",
    "github.com",
    "githubusercontent.com",
    "raw.githubusercontent.com",
    "akamai.net",
];

/// Addresses: of Azure's own agent in every virtual machine, and of public resolvers of names.
pub const ADDRESSES: [&str; 9] = [
    "168.63.129.16",
    "1.1.1.1",
    "1.0.0.1",
    "8.8.8.8",
    "8.8.4.4",
    "9.9.9.9",
    "149.112.112.112",
    "208.67.222.222",
    "208.67.220.220",
];

static LISTS: LazyLock<Lists> = LazyLock::new(|| {
    let mut builder = Builder::default();
    let built = builder.list(NAME, |add| {
        let mut numbers = 1..;
        let mut add = |parsed| add(numbers.next().unwrap_or(u32::MAX), parsed);
        for text in WHOLE {
            plain::line(text).map_err(|reason| (1, reason))?.into_iter().for_each(&mut add);
        }
        for name in ALONE {
            let entry = Entry::Name { name: name.to_owned(), itself: true, below: false };
            add(Parsed { entry, types: Types::of(IndicatorType::Fqdn) });
        }
        for text in ADDRESSES {
            let parsed = plain::line(text).map_err(|reason| (1, reason))?.into_iter();
            // Under the path of an address anything may stand.
            parsed.for_each(|parsed| add(Parsed { types: Types::addresses(), ..parsed }));
        }
        // As an endpoint knows files: by the strongest.
        let digests = TRIVIAL.iter().filter_map(|(_, [.., sha256])| bytes(sha256));
        digests.for_each(|digest| add(Parsed { entry: Entry::Digest(digest), types: Types::ALL }));
        Ok(())
    });
    built.and_then(|()| builder.build()).expect("the list is our own, and a test reads it")
});

/// The list, ready to be asked.
pub(super) fn lists() -> &'static Lists {
    &LISTS
}
