use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use tower::ServiceExt;

use super::*;
use crate::clock;

const TENANT: &str = "11111111-1111-4111-8111-111111111111";
const STORAGE: &str = "https://storage.azure.com";

fn entra() -> Entra {
    let entra = Entra::new(clock::tokio_from("2026-01-01T00:00:00Z".parse().unwrap()));
    entra.app(TENANT, "app", "s3cret&");
    entra
}

async fn ask(router: Router, request: Request<Body>) -> (StatusCode, Value) {
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn ask_app(entra: &Entra, tenant: &str, form: &str) -> (StatusCode, Value) {
    let request = Request::post(format!("/{tenant}/oauth2/v2.0/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form.to_string()))
        .unwrap();
    ask(entra.router(), request).await
}

async fn ask_identity(entra: &Entra, query: &str, header: &str) -> (StatusCode, Value) {
    let request =
        Request::get(format!("/msi/token?{query}")).header("X-IDENTITY-HEADER", header).body(Body::empty());
    ask(entra.managed_identity_router(), request.unwrap()).await
}

fn form(client_id: &str, secret: &str, scope: &str) -> String {
    format!("grant_type=client_credentials&client_id={client_id}&client_secret={secret}&scope={scope}")
}

#[tokio::test(start_paused = true)]
async fn an_app_gets_a_token_that_lives_an_hour() {
    let entra = entra();
    let scope = "https%3A%2F%2Fmanagement.azure.com%2F.default";
    let (status, body) = ask_app(&entra, TENANT, &form("app", "s3cret%26", scope)).await;
    assert_eq!((status, &body["expires_in"]), (StatusCode::OK, &json!(3599)));

    let token = body["access_token"].as_str().unwrap();
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["aud"], "https://management.azure.com");
    assert_eq!(claims["iss"], format!("https://sts.windows.net/{TENANT}/"));

    assert!(entra.verify(token, "https://management.azure.com/"));
    assert!(!entra.verify(token, STORAGE));
    tokio::time::advance(std::time::Duration::from_secs(3599)).await;
    assert!(!entra.verify(token, "https://management.azure.com"));
    assert_eq!(entra.issued()[0].scope_or_resource, "https://management.azure.com/.default");
}

#[tokio::test(start_paused = true)]
async fn rejections_carry_their_number() {
    let entra = entra();
    let scope = "https://management.azure.com/.default";
    let cases = [
        (TENANT, form("app", "wrong", scope), 401, 7000215),
        (TENANT, form("other", "s3cret%26", scope), 400, 700016),
        ("nowhere", form("app", "s3cret%26", scope), 400, 90002),
        (TENANT, form("app", "s3cret%26", "https://management.azure.com"), 400, 70011),
        (TENANT, "grant_type=client_credentials".into(), 400, 900144),
    ];
    for (tenant, form, status, code) in cases {
        let (answered, body) = ask_app(&entra, tenant, &form).await;
        assert_eq!((answered.as_u16(), &body["error_codes"][0]), (status, &json!(code)), "{form}");
        assert!(body["error_description"].as_str().unwrap().starts_with(&format!("AADSTS{code}: ")));
    }
    assert_eq!(entra.rejected().len(), 5);

    entra.knobs(|knobs| knobs.expired_secrets = ["app".to_string()].into());
    let (_, body) = ask_app(&entra, TENANT, &form("app", "s3cret%26", scope)).await;
    assert_eq!(body["error_codes"][0], 7000222);
    entra.rotate_secret("app", "new");
    assert_eq!(ask_app(&entra, TENANT, &form("app", "new", scope)).await.0, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn managed_identities_answer_with_a_string_of_seconds() {
    let entra = entra();
    let query = "resource=https%3A%2F%2Fstorage.azure.com&api-version=2019-08-01";
    let (status, body) = ask_identity(&entra, query, "sandbox-identity").await;
    assert_eq!((status, &body["expires_on"]), (StatusCode::OK, &json!("1767312000")));
    let token = body["access_token"].as_str().unwrap();
    assert!(entra.verify(token, STORAGE));
    entra.revoke_all();
    assert!(!entra.verify(token, STORAGE));

    assert_eq!(ask_identity(&entra, query, "wrong").await.0, StatusCode::UNAUTHORIZED);
    let named = format!("{query}&client_id=id-1");
    assert_eq!(ask_identity(&entra, &named, "sandbox-identity").await.0, StatusCode::BAD_REQUEST);
    entra.identity("id-1");
    assert_eq!(ask_identity(&entra, &named, "sandbox-identity").await.0, StatusCode::OK);
    entra.knobs(|knobs| knobs.reject_identity = Some((StatusCode::BAD_REQUEST, "not assigned".into())));
    assert_eq!(ask_identity(&entra, query, "sandbox-identity").await.1["message"], "not assigned");
    assert_eq!(
        entra.issued().iter().map(|issued| issued.kind).collect::<Vec<_>>(),
        [Kind::ManagedIdentity; 2]
    );
}
