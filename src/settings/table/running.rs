//! State, schedule, run time, and who is told.

use super::{Section, secret, setting};

pub const RUNNING: Section = Section {
    title: "State, schedule, run time",
    settings: &[
        setting(
            "STORAGE_ACCOUNT_NAME",
            "–",
            "The storage account for the state, used with the managed identity.",
        ),
        setting(
            "STORAGE_CONTAINER_NAME",
            "mandiant-threat-intel",
            "The container for the state. It is created if it does not exist.",
        ),
        setting(
            "STORAGE_BLOB_ENDPOINT",
            "by cloud",
            "Another endpoint of that account. With an emulator the account is a part of the path.",
        ),
        secret(
            "AzureWebJobsStorage",
            "–",
            "The host's storage. It holds the state too if `STORAGE_ACCOUNT_NAME` is absent. A connection \
             string, `UseDevelopmentStorage=true`, or the form `AzureWebJobsStorage__accountName` / \
             `__blobServiceUri` with `__credential` and `__clientId`.",
        ),
        setting(
            "STATE_DIR",
            "–",
            "A local directory for the state, for a laptop. It wins over the storage account and is a fault in \
             a function app, whose disk does not last.",
        ),
        setting(
            "SYNC_CRON",
            "–",
            "When the timer fires, as NCRONTAB with seconds: `0 23 * * * *` is every hour at minute 23. The \
             host needs it and reads it; the program derives from it how early an indicator is renewed.",
        ),
        setting(
            "AUDIT_DAYS",
            "30",
            "Days between two [audits](operations.md#audit) that run by themselves, 0–365; `0`: never. One that \
             `mati-sync audit` makes does not depend on it.",
        ),
        setting(
            "AzureFunctionsJobHost__functionTimeout",
            "host.json",
            "The host's time limit for one invocation, if it differs from the 10 minutes of host.json. A pass \
             pauses in time before it.",
        ),
        secret(
            "WEBHOOK_URL",
            "–",
            "An address that gets [one JSON message](signals.md#the-webhook) whenever a lane stalls, waits for a \
             confirmation, lost something or is well again. The key vault can hold it as `webhook-url`.",
        ),
        setting(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "–",
            "A collector of OpenTelemetry that gets [metrics](signals.md#metrics) after each pass, over HTTP as \
             protobuf, at `/v1/metrics` below this address. Plain `http://` is accepted here.",
        ),
        secret(
            "OTEL_EXPORTER_OTLP_HEADERS",
            "–",
            "Headers for the collector, such as `api-key=…`, with commas between; values are percent-encoded.",
        ),
        setting(
            "LOG_LEVEL",
            "info",
            "`trace`, `debug`, `info`, `warn`, `error` or `off`, or Azure's words for them: `Verbose`, \
             `Information`, `Warning`, `Critical`, `None`. Case does not matter. The line that ends a pass is \
             always written.",
        ),
    ],
};
