//! Connections, each with the spelling of its headers: the host keeps the case in which a client writes them, and the
//! HTTP library below us does not.

use std::time::Duration;

use axum::{
    Router,
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A client that is slower with the head of its first request is heard without its spelling.
const PATIENCE: Duration = Duration::from_millis(500);
const LONGEST_HEAD: usize = 16 * 1024;

/// The names of the headers of a connection's first request, as they were written.
#[derive(Clone, Debug, Default)]
pub struct Spelling(Vec<String>);

impl Spelling {
    fn read(head: &str) -> Self {
        let lines = head.lines().skip(1).take_while(|line| !line.is_empty());
        Self(lines.filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect())
    }

    /// How the client wrote this name; as it is where it did not.
    pub fn of<'a>(&'a self, name: &'a str) -> &'a str {
        self.0.iter().find(|own| own.eq_ignore_ascii_case(name)).map_or(name, String::as_str)
    }
}

struct Listening(TcpListener);

impl Listener for Listening {
    type Io = TcpStream;
    type Addr = Spelling;

    async fn accept(&mut self) -> (TcpStream, Spelling) {
        let (stream, _) = Listener::accept(&mut self.0).await;
        let spelling = tokio::time::timeout(PATIENCE, peek(&stream)).await.unwrap_or_default();
        (stream, spelling)
    }

    fn local_addr(&self) -> std::io::Result<Spelling> {
        Ok(Spelling::default())
    }
}

impl Connected<IncomingStream<'_, Listening>> for Spelling {
    fn connect_info(stream: IncomingStream<'_, Listening>) -> Self {
        stream.remote_addr().clone()
    }
}

/// Looks at the head of the first request without taking it.
async fn peek(stream: &TcpStream) -> Spelling {
    let mut bytes = vec![0; LONGEST_HEAD];
    loop {
        let Ok(length) = stream.peek(&mut bytes).await else { return Spelling::default() };
        let head = String::from_utf8_lossy(&bytes[..length]);
        if length == 0 || length == LONGEST_HEAD || head.contains("\r\n\r\n") {
            return Spelling::read(&head);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Serves `router` until the task is aborted.
pub fn serve(listener: TcpListener, router: Router) -> JoinHandle<()> {
    let service = router.into_make_service_with_connect_info::<Spelling>();
    tokio::spawn(async move { _ = axum::serve(Listening(listener), service).await })
}
