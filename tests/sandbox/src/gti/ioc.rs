//! One object of a threat list.

use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The namespace of the ids made here.
const NAMESPACE: Uuid = Uuid::from_u128(0x6774_6973_7461_4e64_8a6e_616d_6573_7061);

/// One object, as a list shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ioc {
    data: Map<String, Value>,
}

impl Ioc {
    /// A malicious object of high severity, threat score and confidence 90, related to nothing.
    pub fn new(kind: &str, id: &str) -> Self {
        let json = json!({
            "type": kind,
            "id": id,
            "attributes": {
                "gti_assessment": {
                    "verdict": {"value": "VERDICT_MALICIOUS"},
                    "threat_score": {"value": 90},
                    "severity": {"value": "SEVERITY_HIGH"},
                    "contributing_factors": {"gti_confidence_score": 90},
                },
                "last_analysis_stats": {"malicious": 9, "undetected": 31, "typeUnsupported": 4},
                "last_modification_date": 1_787_225_703,
                "positives": 9,
                "tags": [],
            },
            "relationships": {},
        });
        let Value::Object(data) = json else { unreachable!("an object") };
        Self { data }
    }

    pub fn domain(name: &str) -> Self {
        Self::new("domain", name)
    }

    /// An address of either kind.
    pub fn address(address: &str) -> Self {
        Self::new("ip_address", address)
    }

    /// A URL; its id is a digest in truth.
    pub fn url(url: &str) -> Self {
        let id = Uuid::new_v5(&NAMESPACE, url.as_bytes()).simple().to_string();
        Self::new("url", &format!("{id}{id}")).attribute("url", url)
    }

    pub fn file(sha256: &str, md5: Option<&str>) -> Self {
        let file = Self::new("file", sha256);
        match md5 {
            Some(md5) => file.attribute("md5", md5),
            None => file,
        }
    }

    pub fn attribute(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.attributes().insert(name.to_owned(), value.into());
        self
    }

    pub fn score(mut self, score: impl Into<Value>) -> Self {
        self.assessment().insert("threat_score".into(), json!({"value": score.into()}));
        self
    }

    /// Without: `None`.
    pub fn confidence(self, score: Option<i64>) -> Self {
        match score {
            Some(score) => self.factor("gti_confidence_score", score),
            None => self.without_factor("gti_confidence_score"),
        }
    }

    pub fn verdict(mut self, word: &str) -> Self {
        self.assessment().insert("verdict".into(), json!({"value": format!("VERDICT_{word}")}));
        self
    }

    pub fn severity(mut self, word: &str) -> Self {
        self.assessment().insert("severity".into(), json!({"value": format!("SEVERITY_{word}")}));
        self
    }

    pub fn factor(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.factors().insert(name.to_owned(), value.into());
        self
    }

    pub fn without_factor(mut self, name: &str) -> Self {
        self.factors().remove(name);
        self
    }

    /// Takes a part of the assessment away.
    pub fn without(mut self, part: &str) -> Self {
        self.assessment().remove(part);
        self
    }

    /// Relates it to a collection: `malware_families`, `threat_actors`, `campaigns`.
    pub fn related(mut self, kind: &str, name: &str) -> Self {
        let id = Uuid::new_v5(&NAMESPACE, name.to_lowercase().as_bytes());
        let (prefix, collection) = match kind {
            "malware_families" => ("malware", "malware-family"),
            "threat_actors" => ("threat-actor", "threat-actor"),
            _ => ("campaign", "campaign"),
        };
        let member = json!({"type": "collection", "id": format!("{prefix}--{id}"),
            "attributes": {"name": name, "collection_type": collection}});
        let related = self.data["relationships"].as_object_mut().expect("an object");
        let data = related.entry(kind).or_insert_with(|| json!({"data": []}));
        data["data"].as_array_mut().expect("a list").push(member);
        self
    }

    /// The record of the list called `list`.
    pub fn json(mut self, list: &str) -> Value {
        self.data.insert("context_attributes".into(), json!({"threat_list_id": list}));
        json!({"data": self.data})
    }

    fn attributes(&mut self) -> &mut Map<String, Value> {
        self.data["attributes"].as_object_mut().expect("an object")
    }

    fn assessment(&mut self) -> &mut Map<String, Value> {
        self.attributes()["gti_assessment"].as_object_mut().expect("an object")
    }

    fn factors(&mut self) -> &mut Map<String, Value> {
        self.assessment()["contributing_factors"].as_object_mut().expect("an object")
    }
}
