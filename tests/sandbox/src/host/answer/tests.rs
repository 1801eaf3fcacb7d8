use serde_json::json;

use super::*;

fn judge(status: u16, content_type: Option<&str>, body: &str) -> Verdict {
    let outputs = [
        Output { name: "res".into(), target: Target::Http, binary: false },
        Output { name: "next".into(), target: Target::Queue("jobs".into()), binary: false },
    ];
    let content_type = content_type.map(str::to_owned);
    Reply { status, content_type, body: body.as_bytes().to_vec() }.judge(&outputs)
}

fn json_answer(body: Value) -> Verdict {
    judge(200, Some("application/json"), &body.to_string())
}

fn success(body: Value) -> Answer {
    match json_answer(body) {
        Verdict::Success(answer) => answer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_answer_gives_its_declared_outputs_and_its_logs() {
    let answer = success(json!({
        "Outputs": {"res": {"statusCode": "202"}, "next": {"kind": "pass"}, "other": 1},
        "Logs": ["a", 1, 2.5, true, null],
        "ReturnValue": null, "key1": "value1",
    }));
    assert_eq!(
        Value::Object(answer.outputs),
        json!({"res": {"statusCode": "202"}, "next": {"kind": "pass"}})
    );
    assert_eq!(answer.logs, ["a", "1", "2.5", "true", "[null]"]);
    assert_eq!(success(json!({"Outputs": null, "Logs": null, "ReturnValue": null})), Answer::default());
    assert_eq!(success(json!({"key1": "value1"})), Answer::default());
}

#[test]
fn member_names_match_in_any_case() {
    assert_eq!(success(json!({"outputs": {}, "logs": ["a"], "returnvalue": "r"})).logs, ["a"]);
}

#[test]
fn null_hangs() {
    assert_eq!(judge(200, Some("application/json"), ""), Verdict::Hang);
    assert_eq!(judge(200, Some("application/json"), "null"), Verdict::Hang);
    assert_eq!(judge(204, None, ""), Verdict::Hang);
}

#[test]
fn everything_else_fails() {
    let failures = [
        judge(500, Some("application/json"), r#"{"Logs":["why"]}"#),
        judge(400, None, ""),
        judge(200, Some("text/plain"), "TestMessage"),
        judge(200, None, "{}"),
        judge(200, Some("application/json; charset=utf-8"), "Hello World"),
        json_answer(json!([])),
        json_answer(json!({"Logs": "x"})),
        json_answer(json!({"Logs": [{"level": "warn"}]})),
        json_answer(json!({"Outputs": []})),
        json_answer(json!({"Outputs": {"res": null}})),
        json_answer(json!({"Outputs": {"res": "text"}})),
    ];
    for failure in &failures {
        assert!(matches!(failure, Verdict::Failure(_)), "{failure:?}");
    }
    let Verdict::Failure(reason) = &failures[0] else { unreachable!() };
    assert!(reason.ends_with("does not indicate success: 500 (Internal Server Error)."), "{reason}");
}

#[test]
fn an_object_in_the_return_value_overrides_the_outputs() {
    let answer = success(json!({"Outputs": {"next": "{old}"}, "ReturnValue": {"next": {"new": 1}}}));
    assert_eq!(answer.outputs["next"], json!({"new": 1}));
}

#[test]
fn texts_that_are_base64_are_decoded() {
    assert_eq!(success(json!({"Outputs": {"next": "aGVsbG8="}})).outputs["next"], "hello");
    assert_eq!(success(json!({"Outputs": {"next": "hello!"}})).outputs["next"], "hello!");
    let binary = [Output { name: "next".into(), target: Target::Queue("jobs".into()), binary: true }];
    let reply = Reply {
        status: 200,
        content_type: Some("text/json".into()),
        body: br#"{"Outputs":{"next":"aGVsbG8="}}"#.to_vec(),
    };
    let Verdict::Success(answer) = reply.judge(&binary) else { panic!() };
    assert_eq!(answer.outputs["next"], "aGVsbG8=");
}

#[test]
fn queue_outputs_become_messages() {
    assert_eq!(queue_messages(&json!({"a": 1})), ["{\n  \"a\": 1\n}"]);
    assert_eq!(queue_messages(&json!(r#"{"a":1}"#)), ["{\n  \"a\": 1\n}"]);
    assert_eq!(queue_messages(&json!(["one", {"b": 2}])), ["one", "{\n  \"b\": 2\n}"]);
    assert_eq!(queue_messages(&json!("[1,2]")), ["1", "2"]);
    assert_eq!(queue_messages(&json!("{broken")), ["{broken"]);
    assert!(queue_messages(&Value::Null).is_empty());
}

#[test]
fn times_are_printed_anew() {
    let answer = success(json!({"Outputs": {"next": {
        "utc": "2026-11-21T20:00:00.500Z", "offset": "2026-11-21T22:00:00+02:00", "day": "2026-11-21",
    }}}));
    let expected =
        json!({"utc": "2026-11-21T20:00:00.5Z", "offset": "2026-11-21T20:00:00+00:00", "day": "2026-11-21"});
    assert_eq!(answer.outputs["next"], expected);
}

/// A body that is a text reaches the caller as it is; nothing else does.
#[test]
fn times_of_a_response_are_printed_anew_except_in_a_text() {
    let at = "2026-11-27T16:51:12.1000000Z";
    let answer = success(json!({"Outputs": {"res": {
        "headers": {"Last-Modified": at, "X-Run": "run 2026"}, "body": {"at": at, "finer": "2026-11-27T16:51:12.12345678Z"},
    }}}));
    let response = &answer.outputs["res"];
    assert_eq!(response["headers"], json!({"Last-Modified": "11/27/2026 16:51:12", "X-Run": "run 2026"}));
    assert_eq!(
        response["body"],
        json!({"at": "2026-11-27T16:51:12.1Z", "finer": "2026-11-27T16:51:12.12345678Z"})
    );
    assert_eq!(success(json!({"Outputs": {"res": {"body": at}}})).outputs["res"]["body"], at);
}

#[test]
fn no_outputs_are_told_from_empty_ones() {
    assert!(success(json!({"Outputs": {}})).has_outputs);
    assert!(!success(json!({"Outputs": null})).has_outputs);
    assert!(!success(json!({})).has_outputs);
}
