//! Which of our indicators Microsoft's stock rules can match: those of the solution "Threat Intelligence (NEW)" for
//! Sentinel (Azure/Azure-Sentinel, read in November 2026). An indicator that no rule can match is delivered in vain.
//!
//! The tests hold each family of rules as functions of their own (`tests/it/stock_rules`), and these here against them.

use crate::domain::observable::{HashType, HashTypes, Subject, SubjectKind};

/// Whether at least one stock rule matches an event that has the value as logs write it.
///
/// Every rule for addresses turns the indicator's address into upper case and compares it with the log's, which is in
/// lower case: an IPv6 address with letters never equals it. All other values are compared in our spelling, or both sides
/// in one case.
pub fn is_matchable(subject: &Subject<'_>) -> bool {
    match subject.kind {
        SubjectKind::Ipv6 => !subject.value.bytes().any(|byte| byte.is_ascii_lowercase()),
        SubjectKind::Ipv4 | SubjectKind::Domain | SubjectKind::Url | SubjectKind::File(_) => true,
    }
}

/// What the stock rules cannot match of what a lane sends, for a person; `None` if there is nothing.
pub fn blind_spots(hash_types: HashTypes, sends_files: bool, sends_ipv6: bool) -> Option<String> {
    let has = |wanted| hash_types.iter().any(|hash_type| hash_type == wanted);
    let files = match (has(HashType::Sha256), has(HashType::Sha1)) {
        (true, _) => None,
        (false, true) => Some(format!(
            "with HASH_TYPE={hash_types} Microsoft's rule for AppLocker, which logs SHA-256, never matches a file; set HASH_TYPE to sha256,sha1"
        )),
        (false, false) => Some(format!(
            "with HASH_TYPE={hash_types} Microsoft's endpoint rules, which compare SHA-1 and SHA-256 alone, never match a file, nor does the one for AppLocker, which logs SHA-256; set HASH_TYPE to sha256"
        )),
    };
    let ipv6 = "IPv6 addresses with letters are matched by none of Microsoft's rules, which compare them in upper case with logs in lower case";
    let spots: Vec<String> =
        files.filter(|_| sends_files).into_iter().chain(sends_ipv6.then(|| ipv6.to_owned())).collect();
    (!spots.is_empty()).then(|| spots.join(". "))
}
