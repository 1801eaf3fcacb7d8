use serde_json::json;

use super::*;
use crate::host::function::Access;

struct App(tempfile::TempDir);

impl App {
    /// An app with one timer function and one HTTP function.
    fn new(host: Value) -> Self {
        let app = Self(tempfile::tempdir().unwrap());
        app.write("host.json", host);
        let timer =
            json!({"type": "timerTrigger", "direction": "in", "name": "timer", "schedule": "%SYNC_CRON%"});
        let retry = json!({"strategy": "fixedDelay", "maxRetryCount": 2, "delayInterval": "00:00:30"});
        app.write("SyncTimer/function.json", json!({"bindings": [timer], "retry": retry}));
        let request = json!({"type": "httpTrigger", "direction": "in", "name": "req", "methods": ["get"]});
        let response = json!({"type": "http", "direction": "out", "name": "res"});
        app.write("Status/function.json", json!({"bindings": [request, response]}));
        app
    }

    fn write(&self, file: &str, value: Value) {
        let path = self.0.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value.to_string()).unwrap();
    }

    fn read(&self, settings: &[(&str, &str)]) -> Result<Configuration> {
        let all = [("SYNC_CRON", "0 0 * * * *")].iter().chain(settings);
        let all = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Configuration::read(self.0.path(), &all)
    }

    fn fault(&self, settings: &[(&str, &str)]) -> String {
        format!("{:#}", self.read(settings).unwrap_err())
    }
}

fn host() -> Value {
    json!({
        "version": "2.0",
        "functionTimeout": "00:10:00",
        "extensions": {"queues": {"visibilityTimeout": "00:02:00", "batchSize": 1, "newBatchThreshold": 0}},
        "customHandler": {"description": {"defaultExecutablePath": "mati-sync", "arguments": ["--at", "%HOME_DIR%"]}},
    })
}

#[test]
fn an_app_is_read() {
    let app = App::new(host());
    let read = app.read(&[]).unwrap();
    assert_eq!(read.executable, Path::new("mati-sync"), "not in the app's folder: left to the search path");
    assert_eq!(read.arguments, ["--at", ""]);
    assert_eq!((read.function_timeout, read.route_prefix.as_str()), (Some(Duration::from_secs(600)), "api"));
    let queues = &read.queues;
    assert_eq!((queues.batch_size, queues.new_batch_threshold, queues.max_dequeue_count), (1, 0, 5));
    assert_eq!((queues.visibility_timeout, queues.base64), (Duration::from_secs(120), true));
    let Trigger::Http { route, level, .. } = &read.function("status").unwrap().trigger else { panic!() };
    assert_eq!((route.as_str(), *level), ("Status", Access::Function));
    let retry = read.function("SyncTimer").unwrap().retry.as_ref().unwrap();
    assert_eq!((retry.limit, retry.pause(1)), (Some(2), Duration::from_secs(30)));
}

#[test]
fn app_settings_override_the_file() {
    let app = App::new(host());
    app.write("handler", json!(null));
    let read = app.read(&[
        ("AzureFunctionsJobHost__customHandler__description__defaultExecutablePath", "handler"),
        ("AzureFunctionsJobHost__customHandler__description__arguments", r#"["a","b"]"#),
        ("AzureFunctionsJobHost__FUNCTIONTIMEOUT", "-1"),
        ("AzureFunctionsJobHost__extensions__queues__visibilityTimeout", "00:00:00"),
        ("AzureWebJobs.Status.Disabled", "true"),
    ]);
    let read = read.unwrap();
    assert!(read.executable.is_absolute());
    assert_eq!(read.arguments, ["a", "b"]);
    assert_eq!(read.function_timeout, None);
    assert_eq!(read.queues.visibility_timeout, Duration::ZERO);
    assert!(read.function("Status").is_none());
}

#[test]
fn what_the_host_rejects_is_rejected() {
    assert!(App::new(json!({"version": "2.0"})).fault(&[]).contains("Missing worker Description."));
    let app = App::new(host());
    let executable = ("AzureFunctionsJobHost__customHandler__description__defaultExecutablePath", "");
    assert!(app.fault(&[executable]).contains("DefaultExecutablePath cannot be empty"));
    assert!(
        app.fault(&[("AzureFunctionsJobHost__functionTimeout", "00:00:00")]).contains("at least 1 second")
    );
}

#[test]
fn what_cannot_be_indexed_is_disabled_alone() {
    let app = App::new(host());
    let queue = |name: &str| json!({"bindings": [{"type": "queueTrigger", "name": "q", "queueName": name}]});
    app.write("Other/function.json", queue("%Q%"));
    let read =
        app.read(&[("SYNC_CRON", "every hour"), ("AzureWebJobsStorage", "UseDevelopmentStorage=true")]);
    let read = read.unwrap();
    assert!(read.function("Status").is_some());
    assert!(read.function("SyncTimer").is_none() && read.function("Other").is_none());
    assert!(read.disabled["SyncTimer"].contains("not recognized as a valid cron expression"));
    assert!(read.disabled["Other"].contains("'%Q%' does not resolve to a value."), "{:?}", read.disabled);

    app.write("Other/function.json", queue("jobs"));
    let without = app.read(&[("AzureWebJobsStorageOther", "x")]).unwrap();
    assert!(
        without.disabled["Other"].contains("'AzureWebJobsStorage' does not exist"),
        "{:?}",
        without.disabled
    );
    for name in ["AzureWebJobsStorage", "AzureWebJobsStorage__accountName"] {
        assert!(app.read(&[(name, "x")]).unwrap().disabled.is_empty(), "{name}");
    }
}

#[test]
fn a_default_log_level_turns_the_sdk_s_request_log_on() {
    let logging = |levels: Value| {
        let mut host = host();
        host["logging"] = json!({"logLevel": levels});
        App::new(host).read(&[]).unwrap().logs_sdk_requests
    };
    assert!(!logging(json!({"Function": "Information", "Host.Function.Console": "Information"})));
    assert!(logging(json!({"default": "Information"})));
    assert!(!logging(json!({"default": "Warning"})));
    assert!(!logging(json!({"default": "Information", "Azure.Core": "Warning"})));
    assert!(logging(json!({"Azure": "Debug"})));
}

#[test]
fn the_host_s_own_identity_comes_from_the_app_s_variables_unless_it_is_named() {
    let app = App::new(host());
    let registration =
        [("AZURE_CLIENT_ID", "app"), ("AZURE_TENANT_ID", "tenant"), ("AZURE_CLIENT_SECRET", "secret")];
    let identity = |more: &[(&str, &str)]| {
        let all: Vec<_> = registration.iter().chain(more).copied().collect();
        app.read(&all).unwrap().storage_identity
    };
    assert_eq!(
        identity(&[
            ("AzureWebJobsStorage__accountName", "x"),
            ("AZURE_AUTHORITY_HOST", "https://login.example")
        ]),
        StorageIdentity::Application {
            client_id: "app".into(),
            authority: Some("https://login.example".into())
        }
    );
    let named = [
        ("AzureWebJobsStorage__accountName", "x"),
        ("AzureWebJobsStorage__credential", "managedidentity"),
        ("AzureWebJobsStorage__clientId", "mine"),
    ];
    assert_eq!(identity(&named), StorageIdentity::ManagedIdentity { client_id: Some("mine".into()) });
    assert_eq!(identity(&[("AzureWebJobsStorage", "UseDevelopmentStorage=true")]), StorageIdentity::Key);
}

#[test]
fn time_spans_are_read_and_printed() {
    let seconds = |text| span(text).ok().map(|span| span.as_secs_f64());
    assert_eq!(seconds("00:10:00"), Some(600.0));
    assert_eq!(seconds("1.00:00:00.5"), Some(86_400.5));
    assert_eq!(seconds("01:30"), Some(5400.0));
    assert_eq!(seconds("10"), None);
    assert_eq!(seconds("00:61:00"), None);
    assert_eq!(print_span(Duration::from_millis(3_661_500)), "01:01:01.500");
}
