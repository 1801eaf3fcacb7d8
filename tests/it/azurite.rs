//! State in a real implementation of Azure's blob storage, over real sockets and in real time.

mod place;
mod scenarios;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{Method, Request, header},
};
use futures::future::BoxFuture;
use mati_sync::{
    clock::Deadline,
    http::transport::Transport,
    settings::vars::{Environment, Vars},
    state::{error::StateError, store::Store},
};
use sandbox::entra::{Entra, Kind};

use self::place::{PROGRESS, Place, assert_same, at_once, entries, lease, load, run};
use crate::harness::azurite::{Azurite, connection_string};

#[tokio::test]
async fn by_connection_string() {
    scenarios::all(&Place::of(&Azurite::plain())).await;
}

/// With Microsoft's own credential, which reads the process's environment: hence in a process of its own, which
/// is this test once more.
#[tokio::test]
async fn by_managed_identity_over_https() {
    const NAME: &str = "azurite::by_managed_identity_over_https";
    const ENDPOINT: &str = "TEST_AZURITE_ENDPOINT";
    const CONNECTION_STRING: &str = "TEST_AZURITE_CONNECTION_STRING";
    if let (Some(connection_string), Some(endpoint)) =
        (Environment.get(CONNECTION_STRING), Environment.get(ENDPOINT))
    {
        return scenarios::all(&Place::by_identity(&connection_string, &endpoint)).await;
    }
    let azurite = Azurite::secured();
    let entra = Entra::new(sandbox::clock::system());
    let address = sandbox::net::serve(entra.managed_identity_router(), None).await.unwrap();
    let child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture"])
        .env("SSL_CERT_FILE", azurite.authority())
        .env_remove("SSL_CERT_DIR")
        .env("IDENTITY_ENDPOINT", format!("http://{address}/msi/token"))
        .env("IDENTITY_HEADER", "sandbox-identity")
        .env(CONNECTION_STRING, azurite.connection_string())
        .env(ENDPOINT, &azurite.endpoint)
        .kill_on_drop(true)
        .output();
    let child = child.await.unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    let errors = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && said.contains("1 passed"), "{said}\n{errors}");
    let issued = entra.issued();
    assert!(!issued.is_empty());
    for token in issued {
        assert_eq!(token.kind, Kind::ManagedIdentity);
        assert_eq!(token.scope_or_resource.trim_end_matches('/'), "https://storage.azure.com");
    }
}

/// Half a minute on the storage's clock, and on ours: an instance that is gone or cut off loses the lease and knows it
/// before another gets it; one that works keeps it.
#[tokio::test]
async fn a_lease_ends_with_its_holder() {
    let azurite = Azurite::plain();
    let place = Place::of(&azurite);
    tokio::join!(
        a_dropped_lease_runs_out(place.another()),
        a_holder_cut_off_stops_in_time(place.another()),
        a_holder_cut_off_regains_what_nobody_took(place.another()),
        a_holder_at_work_keeps_it(place.another()),
    );
}

async fn a_dropped_lease_runs_out(place: Place) {
    let store = place.ready().await;
    drop(lease(&store, &run(1)).await);
    assert!(store.lease(&run(2), &at_once()).await.unwrap().is_none());
    wait_for_lease(&store).await.release().await;
}

/// A network that is gone while the flag is set.
fn cut_by(is_cut: &Arc<AtomicBool>) -> Transport {
    let (network, gate) = (Transport::network(), Arc::clone(is_cut));
    Transport::InProcess(Arc::new(move |request| {
        let (network, is_cut) = (network.clone(), gate.load(Ordering::SeqCst));
        Box::pin(async move {
            if is_cut { Err("the network is gone".into()) } else { Ok(network.send(request).await?) }
        })
    }))
}

async fn a_holder_cut_off_regains_what_nobody_took(place: Place) {
    let is_cut = Arc::new(AtomicBool::new(false));
    let store = place.over(cut_by(&is_cut)).ready().await;
    let ours = lease(&store, &run(1)).await;
    let mut state = load(&store, &run(1)).await.unwrap();
    is_cut.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(33)).await;
    assert_eq!(ours.check(), Err(StateError::LeaseLapsed), "nothing new may be begun");
    is_cut.store(false, Ordering::SeqCst);
    state.commit(&ours, entries(0..10)).await.unwrap();
    assert!(place.open().lease(&run(2), &at_once()).await.unwrap().is_none(), "it is held again");
    assert_eq!(ours.check(), Err(StateError::LeaseLapsed), "and still nothing new");
    ours.release().await;
}

async fn a_holder_cut_off_stops_in_time(place: Place) {
    let is_cut = Arc::new(AtomicBool::new(false));
    let store = place.over(cut_by(&is_cut)).ready().await;
    let theirs = lease(&store, &run(1)).await;
    let mut state = load(&store, &run(1)).await.unwrap();
    state.commit(&theirs, entries(0..10)).await.unwrap();

    is_cut.store(true, Ordering::SeqCst);
    let ours = wait_for_lease(&place.open()).await;
    assert_eq!(theirs.check(), Err(StateError::LeaseLapsed));
    is_cut.store(false, Ordering::SeqCst);
    assert_eq!(state.commit(&theirs, entries(10..20)).await, Err(StateError::LeaseLost));
    theirs.release().await;
    assert!(
        place.open().lease(&run(3), &at_once()).await.unwrap().is_none(),
        "only its holder gives it back"
    );
    ours.check().unwrap();
    ours.release().await;
}

async fn a_holder_at_work_keeps_it(place: Place) {
    let store = place.ready().await;
    let ours = lease(&store, &run(1)).await;
    tokio::time::sleep(Duration::from_secs(33)).await;
    assert!(place.open().lease(&run(2), &at_once()).await.unwrap().is_none());
    ours.check().unwrap();
    ours.release().await;
}

async fn wait_for_lease(store: &Store) -> mati_sync::state::lease::Lease {
    let patient = Deadline::after(Duration::from_secs(60));
    store.lease(&run(9), &patient).await.unwrap().expect("it runs out while we wait")
}

type Pick = fn(&Request<Bytes>) -> bool;

/// Whatever was done and not answered is done once.
#[tokio::test]
async fn a_lost_reply_is_no_conflict() {
    let azurite = Azurite::plain();
    let place = Place::of(&azurite);
    let picks: [(&str, Pick); 9] = [
        ("the container is made", |request| has(request, "restype=container")),
        ("the lease's blob is made", |request| put(request, "/lease") && !has(request, "comp=")),
        ("the lease is taken", |request| acquires(request)),
        ("the lease is signed", |request| has(request, "comp=metadata")),
        ("a file of the manifest is begun", |request| {
            request.headers().get("x-ms-blob-type").is_some_and(|kind| kind == "AppendBlob")
        }),
        ("a block is added", |request| has(request, "comp=appendblock")),
        ("the first progress is written", |request| {
            put(request, "progress.json") && request.headers().contains_key(header::IF_NONE_MATCH)
        }),
        ("progress is replaced", |request| {
            put(request, "progress.json") && request.headers().contains_key(header::IF_MATCH)
        }),
        ("a request is forgotten", |request| request.method() == Method::DELETE),
    ];
    let cases = picks.map(|(case, pick)| {
        let place = place.another();
        async move {
            let lost = Arc::new(AtomicBool::new(false));
            let bad_network = losing_one(pick, &lost, || Box::pin(async {}));
            a_pass(&place, &place.over(bad_network), case).await;
            assert!(lost.load(Ordering::SeqCst), "{case}: nothing was lost");
        }
    });
    futures::future::join_all(cases).await;
}

/// What a pass does with its state, over a bad network; afterwards all of it is there.
async fn a_pass(place: &Place, over_bad_network: &Place, case: &str) {
    let store = over_bad_network.ready().await;
    let lease = lease(&store, &run(1)).await;
    let mut state = load(&store, &run(1)).await.unwrap();
    for numbers in [0..150_000, 150_000..150_010] {
        let committed = state.commit(&lease, entries(numbers)).await;
        committed.unwrap_or_else(|error| panic!("{case}: {error}"));
    }
    store.delete_request(&run(1)).await.unwrap();
    assert_same(&mut state, &mut load(&place.open(), &run(2)).await.unwrap());
    lease.check().unwrap();
    lease.release().await;
    place::lease(&place.open(), &run(2)).await.release().await;
}

/// The reply was lost, and before the second try another instance wrote: that is a conflict.
#[tokio::test]
async fn a_lost_reply_does_not_hide_another_writer() {
    let azurite = Azurite::plain();
    let place = Place::of(&azurite);
    let store = place.ready().await;
    let lease = lease(&store, &run(1)).await;
    let mut theirs = load(&store, &run(1)).await.unwrap();
    theirs.commit(&lease, entries(0..10)).await.unwrap();
    let progress = place.raw(Method::GET, PROGRESS, "").await.body;

    let lost = Arc::new(AtomicBool::new(false));
    let rival = place.clone();
    let transport = losing_one(
        |request| put(request, "progress.json"),
        &lost,
        move || {
            let (rival, progress) = (rival.clone(), progress.clone());
            Box::pin(async move {
                rival.raw(Method::PUT, PROGRESS, progress).await;
            })
        },
    );
    let bad_network = place.over(transport).open();
    let mut ours = load(&bad_network, &run(2)).await.unwrap();
    let fenced = StateError::Conflict { name: PROGRESS.to_owned() };
    assert_eq!(ours.commit(&lease, entries(10..20)).await, Err(fenced));
    assert!(lost.load(Ordering::SeqCst));
    assert_same(&mut theirs, &mut load(&store, &run(3)).await.unwrap());
    lease.release().await;
}

/// A network that carries the first of the picked requests to the storage, and its reply nowhere. `meanwhile`
/// happens before the sender notices.
fn losing_one(
    pick: Pick,
    lost: &Arc<AtomicBool>,
    meanwhile: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static,
) -> Transport {
    let (network, lost) = (Transport::network(), Arc::clone(lost));
    Transport::InProcess(Arc::new(move |request| {
        let meanwhile = (pick(&request) && !lost.swap(true, Ordering::SeqCst)).then(&meanwhile);
        let network = network.clone();
        Box::pin(async move {
            let answer = network.send(request).await?;
            let Some(meanwhile) = meanwhile else { return Ok(answer) };
            meanwhile.await;
            Err("the reply was lost".into())
        })
    }))
}

fn put(request: &Request<Bytes>, path_end: &str) -> bool {
    request.method() == Method::PUT && request.uri().path().ends_with(path_end)
}

fn has(request: &Request<Bytes>, in_query: &str) -> bool {
    request.uri().query().is_some_and(|query| query.contains(in_query))
}

fn acquires(request: &Request<Bytes>) -> bool {
    request.headers().get("x-ms-lease-action").is_some_and(|value| value == "acquire")
}

/// What goes wrong is said without the signature, which is as good as a key.
#[tokio::test]
async fn rejections_are_told_without_secrets() {
    let azurite = Azurite::plain();
    let rejected = Place::by_key(&connection_string(&azurite.endpoint, "c2VjcmV0")).open().prepare().await;
    assert!(
        matches!(&rejected, Err(StateError::Rejected(text)) if text.message.contains("AzureWebJobsStorage")),
        "{rejected:?}"
    );

    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed = format!("http://{port}/devstoreaccount1");
    let unreachable = Place::by_key(&connection_string(&closed, "c2VjcmV0")).open().prepare().await;
    assert!(matches!(&unreachable, Err(StateError::Unavailable(_))), "{unreachable:?}");
    for error in [rejected, unreachable] {
        let message = error.unwrap_err().to_string();
        assert!(message.contains("127.0.0.1"), "{message}");
        assert!(!message.contains("sig=") && !message.contains("c2VjcmV0"), "{message}");
    }
}
