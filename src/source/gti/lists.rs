//! The threat lists that there are, what they hold and which licence gives them (gtidocs.virustotal.com, "Get a threat
//! list").

/// A licence of Google Threat Intelligence, and what it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Licence {
    Every,
    Enterprise,
    EnterprisePlus,
}

impl Licence {
    /// With which licences a list comes.
    pub fn words(self) -> &'static str {
        match self {
            Self::Every => "every licence",
            Self::Enterprise => "Enterprise and Enterprise Plus",
            Self::EnterprisePlus => "Enterprise Plus",
        }
    }
}

/// The types by which a list can be asked for a part of itself.
pub const TYPES: [&str; 4] = ["file", "url", "domain", "ip_address"];
const FILES: &[&str] = &["file"];
const NETWORK: &[&str] = &["url", "domain", "ip_address"];

/// A threat list.
pub struct List {
    pub id: &'static str,
    pub types: &'static [&'static str],
    pub licence: Licence,
}

const fn list(id: &'static str, types: &'static [&'static str], licence: Licence) -> List {
    List { id, types, licence }
}

/// Every list that Google documents.
pub const LISTS: [List; 14] = [
    list("ransomware", FILES, Licence::Every),
    list("malicious-network-infrastructure", NETWORK, Licence::Every),
    list("malware", &TYPES, Licence::Enterprise),
    list("threat-actor", &TYPES, Licence::Enterprise),
    list("trending", &TYPES, Licence::Enterprise),
    list("mobile", FILES, Licence::EnterprisePlus),
    list("osx", FILES, Licence::EnterprisePlus),
    list("linux", FILES, Licence::EnterprisePlus),
    list("iot", FILES, Licence::EnterprisePlus),
    list("first-stage-delivery-vectors", FILES, Licence::EnterprisePlus),
    list("infostealer", FILES, Licence::EnterprisePlus),
    list("phishing", NETWORK, Licence::EnterprisePlus),
    list("cryptominer", &TYPES, Licence::EnterprisePlus),
    list("vulnerability-weaponization", &TYPES, Licence::EnterprisePlus),
];

/// The list called `id`, if it is documented.
pub fn find(id: &str) -> Option<&'static List> {
    LISTS.iter().find(|list| list.id == id)
}

/// The types that a list may hold; of one that is not documented, all.
pub fn types(id: &str) -> &'static [&'static str] {
    find(id).map_or(&TYPES, |list| list.types)
}

/// Why a list cannot be read that the server forbids.
pub fn forbidden(id: &str) -> String {
    match find(id) {
        Some(list) => format!("the licence does not give it (it comes with {})", list.licence.words()),
        None => "the licence does not give it".to_owned(),
    }
}

/// Why a list cannot be read that the server does not know.
pub const UNKNOWN: &str = "there is no such list; check GTI_LISTS, and GTI_BASE_URL if it is set";
