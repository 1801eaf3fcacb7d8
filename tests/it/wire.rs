//! Real sockets and real time: what only the wire can show.

use std::{
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Request, Response, StatusCode, header},
    routing::get,
};
use chrono::{TimeDelta, Utc};
use flate2::{Compression, write::GzEncoder};
use mati_sync::http::{error::HttpError, transport::Transport};
use sandbox::{
    corpus::{CorpusSettings, generate},
    mandiant::Mandiant,
    net::serve,
};

const LIMIT: Duration = Duration::from_secs(20);

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn fetch(router: Router, limit_bytes: usize, limit: Duration) -> Result<Bytes, HttpError> {
    let address = serve(router, None).await.unwrap();
    let request = Request::get(format!("http://{address}/")).body(Bytes::new()).unwrap();
    Transport::network().fetch(request, limit, limit_bytes).await.map(|answer| answer.body)
}

fn answer(body: Vec<u8>) -> Router {
    Router::new().route("/", get(move || async move { ([(header::CONTENT_ENCODING, "gzip")], body) }))
}

#[tokio::test]
async fn a_compressed_answer_is_read_and_a_cut_one_is_an_error() {
    let text = "indicator ".repeat(10_000);
    let whole = gzip(text.as_bytes());
    assert_eq!(fetch(answer(whole.clone()), 1 << 20, LIMIT).await.unwrap(), text);
    let cut = whole[..whole.len() / 2].to_vec();
    let error = fetch(answer(cut), 1 << 20, LIMIT).await.unwrap_err();
    assert!(matches!(error, HttpError::Interrupted { .. }) && error.is_transient(), "{error}");
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_not_read_to_its_end() {
    // A small body on the wire that would unpack to more than is allowed.
    let bomb = answer(gzip(&vec![b'x'; 5 << 20]));
    let error = fetch(bomb, 1 << 20, LIMIT).await.unwrap_err();
    assert!(
        matches!(error, HttpError::TooLarge { limit_bytes: 1_048_576, .. }) && !error.is_transient(),
        "{error}"
    );
}

#[tokio::test]
async fn a_connection_that_breaks_or_hangs_is_an_error() {
    let broken = Router::new().route(
        "/",
        get(|| async {
            let chunks = [Ok(Bytes::from("{\"indicators\":[")), Err(std::io::Error::other("reset"))];
            Body::from_stream(futures::stream::iter(chunks))
        }),
    );
    let error = fetch(broken, 1 << 20, LIMIT).await.unwrap_err();
    assert!(matches!(error, HttpError::Interrupted { .. } | HttpError::Unanswered { .. }), "{error}");

    let hangs = Router::new().route(
        "/",
        get(|| async { Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>()) }),
    );
    let error = fetch(hangs, 1 << 20, Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, HttpError::Timeout { .. }), "{error}");

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let request = Request::get(format!("http://{closed}/?sig=secret")).body(Bytes::new()).unwrap();
    let error = Transport::network().fetch(request, LIMIT, 1 << 20).await.unwrap_err();
    assert!(matches!(error, HttpError::Connect { .. }), "{error}");
    assert!(
        error.to_string().contains(&closed.to_string()) && !error.to_string().contains("secret"),
        "{error}"
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&elsewhere);
    let router = Router::new()
        .route(
            "/",
            get(|| async {
                Response::builder()
                    .status(StatusCode::FOUND)
                    .header(header::LOCATION, "/elsewhere")
                    .body(Body::empty())
                    .unwrap()
            }),
        )
        .route("/elsewhere", get(move || async move { counter.fetch_add(1, Ordering::Relaxed).to_string() }));
    fetch(router, 1 << 20, LIMIT).await.unwrap();
    assert_eq!(elsewhere.load(Ordering::Relaxed), 0, "it could carry a token to another server");
}

#[tokio::test]
async fn one_connection_serves_many_requests_and_compression_is_asked_for() {
    let heads: Arc<Mutex<Vec<HeaderMap>>> = Arc::default();
    let seen = Arc::clone(&heads);
    let router = Router::new().route(
        "/",
        get(move |headers: HeaderMap| async move {
            seen.lock().unwrap().push(headers);
            "ok"
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicU32::new(0));
    let accepted = Arc::clone(&connections);
    // A relay that counts what is accepted, in front of the server.
    let server = serve(router, None).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut inbound, _)) = listener.accept().await {
            accepted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut outbound = tokio::net::TcpStream::connect(server).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut inbound, &mut outbound).await;
            });
        }
    });
    let transport = Transport::network();
    for _ in 0..20 {
        let request = Request::get(format!("http://{address}/")).body(Bytes::new()).unwrap();
        transport.fetch(request, LIMIT, 1 << 20).await.unwrap();
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    assert!(heads.lock().unwrap()[0][header::ACCEPT_ENCODING].to_str().unwrap().contains("gzip"));
}

#[tokio::test]
async fn the_feed_is_read_compressed_and_with_cursors_of_real_length() {
    let mandiant = Mandiant::new(sandbox::clock::system());
    let now = Utc::now();
    mandiant.put_all(generate(&CorpusSettings::new(
        3,
        6000,
        now - TimeDelta::hours(20),
        now - TimeDelta::hours(1),
    )));
    mandiant.set(|knobs| knobs.gzip = true);
    let address = serve(mandiant.router(), None).await.unwrap();
    let state = tempfile::TempDir::new().unwrap();
    let vars = [
        ("MATI_KEY", "sandbox-key"),
        ("MATI_SECRET", "sandbox-secret"),
        ("MATI_BASE_URL", &format!("http://{address}")),
        ("AZURE_WORKSPACE_ID", crate::harness::world::WORKSPACE),
        ("STATE_DIR", &state.path().display().to_string()),
        ("INITIAL_LOOKBACK", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let clock: mati_sync::clock::SharedClock = Arc::new(mati_sync::clock::SystemClock);
    let vars = std::collections::BTreeMap::from(vars);
    let app = mati_sync::app::App::build(&vars, &Transport::network(), &clock, |_, _| {}).unwrap();
    let order = mati_sync::domain::request::RunOptions { dry_run: true, ..Default::default() };
    let deadline = mati_sync::clock::Deadline::after(Duration::from_secs(60));
    let ended = app.engine.run(mati_sync::pass::Work::Command(order), None, &deadline).await;
    let totals = ended.reports[0].totals();
    let admitted_by_server = mandiant.requests().iter().map(|request| request.records as u64).sum::<u64>();
    assert_eq!(totals.read, admitted_by_server, "{ended:#?}");
    assert!(totals.read > 500 && totals.created > 100, "{ended:#?}");
    let next = mandiant.requests().iter().filter_map(|request| request.next().map(str::len)).min();
    assert!(next.is_some_and(|length| length > 3000), "a cursor of {next:?} characters");
}
