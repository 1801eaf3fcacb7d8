//! What a trigger calls a function with, and how the host encodes it.

use chrono::Utc;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{answer::print_time, function::Function};

/// What a trigger calls a function with.
pub(super) struct Call {
    pub data: Map<String, Value>,
    pub metadata: Map<String, Value>,
    pub reason: String,
}

impl Call {
    pub fn new(input: &str, value: Value, reason: String) -> Self {
        let data = Map::from_iter([(input.to_owned(), encode(value))]);
        Self { data, metadata: Map::new(), reason }
    }

    /// Adds one value of the binding data; nulls and keys that end with `trigger` are not sent.
    pub fn bind(&mut self, name: &str, value: Value) {
        if !value.is_null() && !name.to_ascii_lowercase().ends_with("trigger") {
            self.metadata.insert(name.to_owned(), encode(value));
        }
    }

    /// Adds the members of a text that is a JSON object, arrays left out (`Utility.ApplyBindingData`).
    /// They override what the trigger itself knows under the same name.
    pub fn bind_members(&mut self, text: &str) {
        if let Ok(Value::Object(members)) = serde_json::from_str(text) {
            for (name, value) in members.into_iter().filter(|(_, value)| !value.is_array()) {
                self.bind(&name, value);
            }
        }
    }

    pub fn body(&self, function: &Function, retry: Option<Value>) -> Value {
        let mut metadata = self.metadata.clone();
        metadata.insert(
            "sys".into(),
            json!({
                "MethodName": function.name,
                "UtcNow": print_time(Utc::now(), "Z"),
                "RandGuid": Uuid::new_v4().to_string(),
            }),
        );
        metadata.extend(retry.map(|retry| ("RetryContext".into(), retry)));
        json!({"Data": self.data, "Metadata": metadata})
    }
}

/// The host's conversion of a value (`GetHttpScriptInvocationContextValue`): an object stays one, everything
/// else becomes a text that holds its JSON, so that a text arrives in quotes of its own.
fn encode(value: Value) -> Value {
    if value.is_object() { value } else { Value::String(value.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded_as_the_host_does() {
        assert_eq!(encode(json!("hello!!")), json!("\"hello!!\""));
        assert_eq!(encode(json!(1)), json!("1"));
        assert_eq!(encode(json!(true)), json!("true"));
        assert_eq!(encode(json!([1, 2])), json!("[1,2]"));
        assert_eq!(encode(json!({"a": 1})), json!({"a": 1}));
    }

    #[test]
    fn members_of_a_message_join_and_override_the_metadata() {
        let text = r#"{"run":"r-1","cursor":{"page":3},"ids":[1,2],"Id":"mine","retrigger":1,"none":null}"#;
        let mut call = Call::new("job", json!(text), String::new());
        call.bind("Id", json!("built in"));
        call.bind_members(text);
        let expected = json!({"run": "\"r-1\"", "cursor": {"page": 3}, "Id": "\"mine\""});
        assert_eq!(Value::Object(call.metadata), expected);
        assert_eq!(call.data["job"], json!(text).to_string());
    }
}
