use super::*;
use crate::host::function::Output;

fn function() -> Function {
    Function {
        name: "SyncNow".into(),
        input: "req".into(),
        trigger: Trigger::Http { methods: None, route: "sync".into(), level: Access::Function },
        outputs: vec![Output { name: "res".into(), target: Target::Http, binary: false }],
        retry: None,
    }
}

async fn asked(request: axum::http::request::Builder, body: &'static str) -> Asked {
    let request = request.header("host", "localhost:7071").body(Body::from(body)).unwrap();
    Asked::read(request).await.ok().unwrap()
}

async fn encoded(request: axum::http::request::Builder, body: &'static str) -> (Value, Map<String, Value>) {
    let mut call = call(&function(), &asked(request, body).await, Map::new());
    let data = call.data.remove("req").unwrap();
    (data, call.metadata)
}

#[tokio::test]
async fn a_request_is_encoded_as_the_host_does() {
    let request = Request::post("/api/sync?run=1&run=2").header("content-type", "application/json");
    let request = request.extension(ConnectInfo(Spelling::default())).header("content-length", "13");
    let (data, metadata) = encoded(request, r#"{"dry":true} "#).await;
    assert_eq!(data["Url"], "http://localhost:7071/api/sync?run=1&run=2");
    assert_eq!(data["Method"], "POST");
    assert_eq!(data["Query"], json!({"run": "1,2"}));
    assert_eq!(data["Headers"]["content-type"], json!(["application/json"]));
    assert_eq!(data["Body"], r#"{"dry":true} "#);
    assert_eq!(metadata["Headers"]["content-type"], "application/json");
    assert!(!metadata.contains_key("Params"), "the route has none");
    assert_eq!(metadata["dry"], "true");
}

#[tokio::test]
async fn a_body_without_length_is_not_sent() {
    let request = Request::post("/api/sync").header("transfer-encoding", "chunked");
    let (data, metadata) =
        encoded(request.header("content-type", "application/json"), r#"{"dry":true}"#).await;
    assert!(data.get("Body").is_none() && !metadata.contains_key("dry"), "{data} {metadata:?}");
    assert_eq!(data["Headers"]["transfer-encoding"], json!(["chunked"]));
    assert!(data["Headers"].get("content-length").is_none());
}

#[tokio::test]
async fn binary_bodies_travel_as_base64() {
    let request = Request::post("/api/sync").header("content-type", "application/octet-stream");
    let (data, _) = encoded(request.header("content-length", "5"), "hello").await;
    assert_eq!(data["Body"], "aGVsbG8=");
}

#[test]
fn routes_capture_parameters() {
    let path = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
    let capture = |route, text| capture(route, &path(text)).map(Value::Object);
    assert_eq!(capture("sync", "Sync"), Some(json!({})));
    assert_eq!(capture("sync", "sync/more"), None);
    assert_eq!(capture("runs/{id:int}", "runs/7"), Some(json!({"id": "7"})));
    assert_eq!(capture("runs/{id?}", "runs"), Some(json!({})));
    assert_eq!(capture("runs/{id}", "runs"), None);
    assert_eq!(capture("files/{*path}", "files/a/b"), Some(json!({"path": "a/b"})));
}

#[tokio::test]
async fn an_output_becomes_the_response() {
    let text = |response: Response| async {
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    };
    let output = json!({"statusCode": "202", "headers": {"Location": "/x", "n": 1}, "body": {"a": 1}});
    let accepted = response(&output);
    assert_eq!(accepted.status(), 202);
    assert_eq!(accepted.headers()["location"], "/x");
    assert_eq!(accepted.headers()["content-type"], "application/json");
    assert_eq!(text(accepted).await, r#"{"a":1}"#);
    let page = response(&json!({"status": 404, "headers": {"content-type": "text/html"}, "body": "<p>"}));
    assert_eq!(
        (page.status().as_u16(), page.headers()["content-type"].to_str().unwrap()),
        (404, "text/html")
    );
    assert_eq!(text(page).await, "<p>");
    assert_eq!(response(&json!({})).status(), 200);
}
