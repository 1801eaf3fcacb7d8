//! A certificate authority of our own, and listeners that speak https with its certificates.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
    server::TlsStream,
};

/// A throw-away authority with one leaf certificate for the given names.
pub struct Tls {
    authority_pem: String,
    leaf_pem: String,
    key_pem: String,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// `names` are DNS names or IP addresses, e.g. `localhost`, `127.0.0.1`, `*.vault.azure.net`.
    pub fn new(names: &[&str]) -> Self {
        let authority_key = KeyPair::generate().expect("generate a key");
        let mut authority = CertificateParams::new(Vec::new()).expect("no names to reject");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(rcgen::DnType::CommonName, "mati-sync sandbox");
        let authority_certificate = authority.self_signed(&authority_key).expect("sign the authority");
        let issuer = Issuer::new(authority, authority_key);

        let leaf_key = KeyPair::generate().expect("generate a key");
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let mut leaf = CertificateParams::new(names).expect("valid names");
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = leaf.signed_by(&leaf_key, &issuer).expect("sign the leaf");

        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("default protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .expect("our own certificate fits its key");
        Self {
            authority_pem: authority_certificate.pem(),
            leaf_pem: leaf.pem(),
            key_pem: leaf_key.serialize_pem(),
            config: Arc::new(config),
        }
    }

    /// The authority's certificate, for `SSL_CERT_FILE`.
    pub fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    /// Writes `ca.pem`, `leaf.pem` and `leaf.key` into `folder` and returns the path of `ca.pem`.
    pub fn write(&self, folder: &Path) -> std::io::Result<PathBuf> {
        std::fs::write(folder.join("leaf.pem"), &self.leaf_pem)?;
        std::fs::write(folder.join("leaf.key"), &self.key_pem)?;
        let authority = folder.join("ca.pem");
        std::fs::write(&authority, &self.authority_pem)?;
        Ok(authority)
    }

    /// A listener for `axum::serve` that speaks https and counts its connections.
    pub fn listener(&self, listener: TcpListener, connections: Arc<AtomicUsize>) -> TlsListener {
        TlsListener { listener, acceptor: TlsAcceptor::from(Arc::clone(&self.config)), connections }
    }
}

/// Accepts TCP connections and shakes hands before handing them on.
pub struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    connections: Arc<AtomicUsize>,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // A client that rejects our certificate or hangs up is its own trouble: take the next one.
            let Ok((stream, address)) = self.listener.accept().await else { continue };
            self.connections.fetch_add(1, Ordering::Relaxed);
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
