//! The shapes of Mandiant's answers, as far as we use them.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::source::lenient::{List, Object, Scalar};

/// Answer to `GET /v4/indicator`, its records read as `R`.
pub struct Page<R> {
    /// `None`: no such member, or null.
    pub indicators: Option<R>,
    /// Whether there was such a member, whatever it held.
    pub names_indicators: bool,
    pub next: Option<String>,
    pub others: Map<String, Value>,
}

/// By hand, because what else is in a page tells whether it is one; and only of an object, while derived code takes
/// a list as well.
impl<'de, R: Deserialize<'de>> Deserialize<'de> for Page<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PageVisitor<R>(PhantomData<R>);
        impl<'de, R: Deserialize<'de>> Visitor<'de> for PageVisitor<R> {
            type Value = Page<R>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a page of records")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut page =
                    Page { indicators: None, names_indicators: false, next: None, others: Map::new() };
                while let Some(name) = members.next_key::<String>()? {
                    match name.as_str() {
                        "indicators" if page.names_indicators => {
                            return Err(A::Error::duplicate_field("indicators"));
                        }
                        "indicators" => {
                            page.names_indicators = true;
                            page.indicators = members.next_value()?;
                        }
                        "next" => page.next = members.next_value()?,
                        _ => {
                            let value = members.next_value()?;
                            page.others.insert(name, value);
                        }
                    }
                }
                Ok(page)
            }
        }
        deserializer.deserialize_map(PageVisitor(PhantomData))
    }
}

/// One indicator. Key order varies, and every field may be missing, null or odd.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Record<'a> {
    #[serde(borrow)]
    pub id: Scalar<'a>,
    #[serde(borrow, rename = "type")]
    pub kind: Scalar<'a>,
    #[serde(borrow)]
    pub value: Scalar<'a>,
    pub mscore: Scalar<'a>,
    pub first_seen: Scalar<'a>,
    pub last_updated: Scalar<'a>,
    pub sources: List<Object<Source<'a>>>,
    pub associated_hashes: List<Object<Hash<'a>>>,
    pub attributed_associations: List<Object<Association<'a>>>,
    /// These three come only when asked for; whether they came is told by [`Option`].
    pub threat_rating: Option<Object<ThreatRating<'a>>>,
    pub category: Option<List<Scalar<'a>>>,
    pub campaigns: Option<List<Object<Campaign<'a>>>>,
    /// Comes only when asked for, which it is not, because it is long; a server that sends it all the same is believed.
    pub verdict: Object<Verdict<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Verdict<'a> {
    #[serde(borrow)]
    pub authoritative_verdict: Scalar<'a>,
    pub analyst_verdict: Object<Judgement<'a>>,
    pub ml_verdict: Object<Judgement<'a>>,
}

/// What an analyst, or a model, calls an indicator.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Judgement<'a> {
    #[serde(borrow)]
    pub verdict: Scalar<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Source<'a> {
    #[serde(borrow)]
    pub source_name: Scalar<'a>,
    pub osint: Scalar<'a>,
    pub category: List<Scalar<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Hash<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Scalar<'a>,
    pub value: Scalar<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Association<'a> {
    #[serde(borrow)]
    pub id: Scalar<'a>,
    pub name: Scalar<'a>,
    #[serde(rename = "type")]
    pub kind: Scalar<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ThreatRating<'a> {
    #[serde(borrow)]
    pub threat_score: Scalar<'a>,
    pub severity_level: Scalar<'a>,
    pub severity_reason: List<Scalar<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Campaign<'a> {
    #[serde(borrow)]
    pub id: Scalar<'a>,
    pub name: Scalar<'a>,
    pub title: Scalar<'a>,
}
