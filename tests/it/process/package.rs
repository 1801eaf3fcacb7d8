//! The package for the host: unpacked somewhere, it is all that the host needs.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use package_function::{archive, contents::contents};
use sandbox::host::FunctionsHost;
use zip::ZipArchive;

use super::{
    Bench, EXECUTABLE, assert_adds_up, assert_disciplined,
    corpus::{held, records, wanted},
    tick,
};

/// With the executable of these tests instead of the release's: what is packed and how is the same.
#[tokio::test]
async fn an_unpacked_package_runs_under_the_host() {
    let bench = Bench::new().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = contents(root).unwrap();
    let executable = fs::read(EXECUTABLE).unwrap();
    let package = archive::write(bench.path(), "0.0.0", root, &names, &executable).unwrap();
    let app = bench.path().join("app");
    ZipArchive::new(File::open(package.path).unwrap()).unwrap().extract(&app).unwrap();
    let mode = |name: &str| fs::metadata(app.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode("mati-sync"), mode("host.json"), mode("SyncTimer/function.json")),
        (0o755, 0o644, 0o644)
    );

    let records = records(17, 300, 0.2);
    bench.world.mandiant.put_all(records.clone());
    let mut options = bench.options();
    // host.json names the executable, as in Azure.
    options.executable = None;
    options.app_root = app;
    let host = FunctionsHost::start(options).await.unwrap();
    let report = tick(&host).await;
    assert_eq!(report["end"], "caught_up");
    assert_adds_up(&report);
    assert_eq!(held(&bench.world.sentinel), wanted(&records));
    let status = super::client().get(format!("{}/api/status", host.http_base())).send().await.unwrap();
    assert_eq!(status.status(), 200);
    assert_disciplined(&host.output());
}
