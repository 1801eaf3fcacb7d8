//! A proxy between the program and the services, as customers have it.

use std::{
    net::SocketAddr,
    process::Output,
    sync::{Arc, Mutex},
};

use sandbox::host::Settings;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::Command,
};

use super::{Bench, EXECUTABLE, assert_keeps_secrets};

/// A proxy that tunnels by CONNECT and forwards plain requests.
struct Proxy {
    address: SocketAddr,
    /// The head of each request that reached it.
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// `denial` is what it answers to a CONNECT instead of opening the tunnel.
    async fn start(denial: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let log = Arc::clone(&log);
                tokio::spawn(async move {
                    // A client that goes away ends its own connection alone.
                    let _ = pass_on(client, &log, denial).await;
                });
            }
        });
        Self { address, heads }
    }

    /// Host and port of every request, with its method.
    fn targets(&self) -> Vec<(String, String)> {
        let heads = self.heads.lock().unwrap();
        let target = |head: &String| {
            let mut words = head.split_whitespace();
            let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap());
            let target = target.trim_start_matches("http://").split('/').next().unwrap();
            (method, target.to_owned())
        };
        heads.iter().map(target).collect()
    }
}

async fn pass_on(
    mut client: TcpStream,
    log: &Mutex<Vec<String>>,
    denial: Option<&str>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).await?;
        head.extend(byte);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    log.lock().unwrap().push(text.clone());
    let is_tunnel = text.starts_with("CONNECT ");
    if let Some(denial) = denial.filter(|_| is_tunnel) {
        return client.write_all(denial.as_bytes()).await;
    }
    let target = text.split_whitespace().nth(1).unwrap_or_default();
    let target = target.trim_start_matches("http://").split('/').next().unwrap_or_default();
    let mut server = TcpStream::connect(target).await?;
    if is_tunnel {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    } else {
        server.write_all(&head).await?;
    }
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

async fn checked(settings: &Settings) -> Output {
    Command::new(EXECUTABLE).arg("check").env_clear().envs(settings).output().await.unwrap()
}

fn shown(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_keeps_secrets(&text);
    text
}

/// Host and port of an address among the settings.
fn host_of(settings: &Settings, name: &str) -> String {
    let url = &settings[name];
    url.split("://").nth(1).unwrap().split('/').next().unwrap().to_owned()
}

/// Secrets come from the key vault over TLS, with the managed identity's tokens.
async fn bench() -> Bench {
    let mut bench = Bench::new().await;
    bench.settings.extend(bench.world.secrets_in_key_vault());
    bench
}

#[tokio::test]
async fn a_proxy_carries_everything_but_the_managed_identity_s_tokens() {
    for (http, https) in [("HTTP_PROXY", "HTTPS_PROXY"), ("http_proxy", "https_proxy")] {
        let (mut bench, proxy) = (bench().await, Proxy::start(None).await);
        for name in [http, https] {
            bench.settings.insert(name.into(), format!("http://{}", proxy.address));
        }
        let output = checked(&bench.settings).await;
        assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
        let targets = proxy.targets();
        let vault = host_of(&bench.settings, "KEY_VAULT_URL");
        assert!(targets.contains(&("CONNECT".into(), vault)), "{targets:?}");
        for name in ["MATI_BASE_URL", "SENTINEL_BASE_URL"] {
            let host = host_of(&bench.settings, name);
            assert!(targets.iter().any(|(_, target)| *target == host), "{name}: {targets:?}");
        }
        let identity = host_of(&bench.settings, "IDENTITY_ENDPOINT");
        assert!(targets.iter().all(|(_, target)| *target != identity), "{targets:?}");
        let heads = proxy.heads.lock().unwrap();
        assert!(heads.iter().all(|head| head.to_lowercase().contains("user-agent: mati-sync/")), "{heads:?}");
    }
}

#[tokio::test]
async fn no_proxy_names_what_is_reached_directly_and_a_settings_file_can_name_a_proxy() {
    let (mut bench, proxy) = (bench().await, Proxy::start(None).await);
    let address = format!("http://{}", proxy.address);
    for name in ["HTTP_PROXY", "HTTPS_PROXY"] {
        bench.settings.insert(name.into(), address.clone());
    }
    let mut around = bench.settings.clone();
    around.insert("NO_PROXY".into(), "127.0.0.1,localhost".into());
    let output = checked(&around).await;
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    assert_eq!(proxy.targets(), []);

    let file = bench.path().join("local.settings.json");
    std::fs::write(&file, serde_json::json!({ "Values": bench.settings }).to_string()).unwrap();
    let mut command = Command::new(EXECUTABLE);
    command.args(["check", "--settings"]).arg(file).env_clear();
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    assert!(!proxy.targets().is_empty());
}

#[tokio::test]
async fn a_tunnel_that_the_proxy_denies_is_told_as_the_proxy_s_doing() {
    tokio::join!(
        is_told_as_the_proxy_s_doing("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
        is_told_as_the_proxy_s_doing(
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"
        ),
    );
}

async fn is_told_as_the_proxy_s_doing(denial: &'static str) {
    let (mut bench, proxy) = (bench().await, Proxy::start(Some(denial)).await);
    bench.settings.insert("HTTPS_PROXY".into(), format!("http://{}", proxy.address));
    let output = checked(&bench.settings).await;
    assert_eq!(output.status.code(), Some(1));
    let text = shown(&output);
    let vault = text.lines().find(|line| line.contains("Key Vault: ")).unwrap();
    assert!(vault.contains("the proxy of HTTPS_PROXY"), "{vault}");
}

#[tokio::test]
async fn a_certificate_file_that_is_missing_is_named_and_nothing_breaks() {
    let mut bench = bench().await;
    bench.settings.insert("SSL_CERT_FILE".into(), "/nowhere/ca.pem".into());
    let output = checked(&bench.settings).await;
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!told.contains("panicked"), "{told}");
    let text = shown(&output);
    assert!(text.lines().any(|line| line.starts_with("failed ")), "{text}");
}
