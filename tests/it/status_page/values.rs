//! The search for a value, and what lists exclude.

use chrono::TimeDelta;
use sandbox::{corpus::Record, net::Fault};
use serde_json::{Value, json};

use super::{BROWSER, HOSTILE, page, page_of, world};
use crate::protocol::{http, post, serve};

#[tokio::test(start_paused = true)]
async fn a_pass_says_which_list_excluded_how_many() {
    let mut world = world();
    world.set("EXCLUDE", "own.example");
    let at = world.ago(TimeDelta::hours(3));
    world.mandiant.put_all([
        Record::fqdn("own.example").updated(at),
        Record::url("http://www.own.example/a").updated(at),
        Record::fqdn("github.com").updated(at),
    ]);
    world.tick().await;
    let shown = page(&world, json!({}), "excluded-by").await;
    assert!(shown.text().contains("2 by EXCLUDE"), "{}", shown.text());
    assert!(shown.text().contains("1 by EXCLUDE_VITAL"), "{}", shown.text());
}

#[tokio::test(start_paused = true)]
async fn a_value_is_explained_and_the_form_leads_back() {
    let world = world();
    let at = world.ago(TimeDelta::hours(3));
    world.mandiant.put_all([
        Record::fqdn("evil.example").updated(at),
        Record::ipv4("198.51.100.7").mscore(60).updated(at),
    ]);
    world.tick().await;
    let held = page(&world, json!({ "value": "evil.example" }), "explain-held").await;
    assert_eq!(held.headline(), "The value is held");
    assert!(held.section("about").contains("held as indicator--"), "{}", held.text());
    let dropped = page(&world, json!({ "value": "198.51.100.7" }), "explain-dropped").await;
    assert_eq!(dropped.headline(), "The value is held nowhere");
    assert!(dropped.section("about").contains("dropped (confidence): confidence 60 is below 80"));
    for text in HOSTILE {
        let shown = page(&world, json!({ "value": text }), "explain-hostile").await;
        assert!(shown.all("script").next().is_none() && shown.all("img").next().is_none());
    }
}

/// The browser sends what stands in the form and nothing else: without the key the host would answer 401.
#[tokio::test(start_paused = true)]
async fn the_key_in_the_address_travels_with_the_form_and_that_of_a_header_never() {
    let world = world();
    let app = serve(&world);
    let shown = page_of(
        &app,
        json!({ "code": "a+b/c==&\"<" }),
        json!({ "x-functions-key": ["header-key"] }),
        "search",
    )
    .await;
    let hidden: Vec<_> = shown.all("input").filter(|input| input.attribute("type") == "hidden").collect();
    let [hidden] = hidden[..] else { panic!("{} hidden fields", hidden.len()) };
    assert_eq!((hidden.attribute("name"), hidden.attribute("value")), ("code", "a+b/c==&\"<"));
    let without =
        page_of(&app, json!({}), json!({ "x-functions-key": ["header-key"] }), "search-no-key").await;
    assert!(without.all("input").all(|input| input.attribute("type") != "hidden"));
    let (_, body) = post(
        &app,
        "Status",
        http(None, json!({}), json!({ "Accept": [BROWSER], "x-functions-key": ["header-key"] })),
    )
    .await;
    assert!(!body.to_string().contains("header-key"));
    let policy = body["Outputs"]["response"]["headers"]["Content-Security-Policy"].as_str().unwrap();
    assert!(policy.contains("form-action 'self';"), "{policy}");
}

#[tokio::test(start_paused = true)]
async fn programs_get_200_and_the_fields_of_the_contract() {
    let world = world();
    let at = world.ago(TimeDelta::hours(3));
    world.mandiant.put(Record::ipv4("198.51.100.7").updated(at));
    world.tick().await;
    let asked = async |value: &str| {
        let (_, body) =
            post(&serve(&world), "Status", http(None, json!({ "value": value }), json!({}))).await;
        assert_eq!(body["Outputs"]["response"]["statusCode"], "200");
        let text = body["Outputs"]["response"]["body"].as_str().unwrap();
        serde_json::from_str::<Value>(text).unwrap()
    };
    let answer = asked(" 198.51.100.7 ").await;
    assert_eq!((&answer["value"], &answer["type"]), (&json!("198.51.100.7"), &json!("ipv4")));
    assert_eq!(answer["source"]["found"], true);
    assert_eq!(answer["decision"]["admitted"], true);
    assert_eq!(answer["decision"]["reason"], Value::Null);
    let lane = &answer["lanes"]["sentinel"];
    assert_eq!(
        (&lane["held"], &lane["rejected"], &lane["next"]),
        (&json!(true), &Value::Null, &json!("none"))
    );
    assert!(lane["id"].as_str().unwrap().starts_with("indicator--"), "{answer:#}");
    assert!(answer["lanes"]["defender"]["id"].as_str().unwrap().parse::<u64>().is_ok(), "{answer:#}");
    assert_eq!(asked("198[.]51[.]100[.]7").await["lanes"]["sentinel"]["held"], true);
    assert_eq!(asked(" ").await["lanes"]["sentinel"]["held"], Value::Null, "nothing was asked for");
    let unknown = asked("unheard-of.example").await;
    assert_eq!(
        (&unknown["source"]["found"], &unknown["decision"]["admitted"]),
        (&json!(false), &Value::Null)
    );
    world.net.on_request(|exchange| {
        (exchange.authority == "api.intelligence.mandiant.com").then_some(Fault::Refuse)
    });
    let untold = asked("198.51.100.7").await;
    assert!(untold["error"].as_str().unwrap().contains("Mandiant"), "{untold:#}");
    assert_eq!(untold["lanes"]["sentinel"]["held"], true);
}

#[tokio::test(start_paused = true)]
async fn a_mass_retraction_that_waits_shows_which() {
    let world = world();
    super::states::retract_much(&world).await;
    let shown = page(&world, json!({}), "waiting").await;
    let section = shown.section("waiting");
    assert_eq!(section.matches("confidence: confidence 10 is below 80").count(), 200, "{section}");
    // A pass that reads none of them has no examples, and they wait all the same.
    world.tick().await;
    let still = page(&world, json!({}), "waiting-still").await;
    assert!(still.section("waiting").contains("confidence 10 is below 80"));
}
