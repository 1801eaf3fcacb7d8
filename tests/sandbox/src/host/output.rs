//! What the handler's process prints, and what the host says of it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Child,
    sync::watch,
    task::JoinHandle,
};

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
    /// The host's own log, and the `Logs` of answers.
    Host,
}

/// The level under which the host's log keeps a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Information,
    Warning,
    Error,
    /// Goes to the platform or to tooling: the owner of the app never sees it.
    System,
}

#[derive(Clone, Debug)]
pub struct OutputLine {
    pub stream: Stream,
    pub level: Level,
    pub text: String,
    pub at: DateTime<Utc>,
}

/// Is told every line as it comes.
pub type Echo = Arc<dyn Fn(&OutputLine) + Send + Sync>;

/// The level of a line of a custom handler: standard output is information, standard error an error unless
/// it speaks of a warning (`UseStdErrorStreamForErrorsOnly` in the host's `WorkerProcess`).
fn classify(stream: Stream, text: &str) -> Level {
    if text.starts_with("LanguageWorkerConsoleLog") || text.starts_with("azfuncjsonlog:") {
        Level::System
    } else if stream != Stream::Stderr {
        Level::Information
    } else if text.to_ascii_lowercase().contains("warn") {
        Level::Warning
    } else {
        Level::Error
    }
}

/// All lines so far.
pub(super) struct Output {
    lines: Mutex<Vec<OutputLine>>,
    echo: Option<Echo>,
    news: News,
}

impl Output {
    pub fn new(echo: Option<Echo>, news: News) -> Self {
        Self { lines: Mutex::default(), echo, news }
    }

    /// Reads what a process prints until it has closed both streams.
    pub fn read(self: &Arc<Self>, child: &mut Child) -> Vec<JoinHandle<()>> {
        let stdout = child.stdout.take().map(|pipe| tokio::spawn(self.clone().copy(Stream::Stdout, pipe)));
        let stderr = child.stderr.take().map(|pipe| tokio::spawn(self.clone().copy(Stream::Stderr, pipe)));
        stdout.into_iter().chain(stderr).collect()
    }

    async fn copy(self: Arc<Self>, stream: Stream, pipe: impl AsyncRead + Unpin) {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).await.is_ok_and(|length| length > 0) {
            self.child(stream, String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            line.clear();
        }
    }

    fn child(&self, stream: Stream, text: String) {
        self.add(stream, classify(stream, &text), text);
    }

    pub fn host(&self, level: Level, text: impl Into<String>) {
        self.add(Stream::Host, level, text.into());
    }

    pub fn lines(&self) -> Vec<OutputLine> {
        self.lines.lock().unwrap().clone()
    }

    /// The newest lines on standard error since `since`, joined as the host joins them in an exit's error.
    pub fn last_errors(&self, since: DateTime<Utc>) -> String {
        let lines = self.lines.lock().unwrap();
        let newest = lines.iter().rev().take_while(|line| line.at >= since);
        let errors = newest.filter(|line| line.stream == Stream::Stderr).take(3);
        let mut errors = errors.map(|line| line.text.clone()).collect::<Vec<_>>();
        errors.reverse();
        errors.join(",")
    }

    fn add(&self, stream: Stream, level: Level, text: String) {
        let line = OutputLine { stream, level, text, at: Utc::now() };
        if let Some(echo) = &self.echo {
            echo(&line);
        }
        self.lines.lock().unwrap().push(line);
        self.news.announce();
    }
}

/// Tells the waiting tasks that something changed; what it was they look up themselves.
#[derive(Clone)]
pub(super) struct News(watch::Sender<()>);

impl News {
    pub fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    pub fn announce(&self) {
        self.0.send_replace(());
    }

    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }

    /// Waits until `check` finds what it looks for, at most `limit`.
    pub async fn until<T>(&self, limit: Duration, mut check: impl FnMut() -> Option<T>) -> Option<T> {
        let mut changes = self.subscribe();
        let search = async {
            loop {
                // Marked as seen before looking, so that a change while looking is not missed.
                changes.mark_unchanged();
                if let Some(found) = check() {
                    return found;
                }
                // The sender lives as long as `self`, so this cannot fail.
                _ = changes.changed().await;
            }
        };
        tokio::time::timeout(limit, search).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_classified_as_the_host_does() {
        assert_eq!(classify(Stream::Stdout, "error: boom"), Level::Information);
        assert_eq!(classify(Stream::Stderr, "boom"), Level::Error);
        assert_eq!(classify(Stream::Stderr, "a Warning"), Level::Warning);
        assert_eq!(classify(Stream::Stdout, "LanguageWorkerConsoleLog x"), Level::System);
    }

    #[test]
    fn the_last_errors_are_three_lines_of_standard_error() {
        let output = Output::new(None, News::new());
        let start = Utc::now();
        for text in ["1", "2", "3", "4"] {
            output.child(Stream::Stderr, text.into());
            output.child(Stream::Stdout, "noise".into());
        }
        assert_eq!(output.last_errors(start), "2,3,4");
    }
}
