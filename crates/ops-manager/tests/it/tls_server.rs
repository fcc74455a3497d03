//! An https server with a certificate that nobody trusts by default.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A server that answers every connection once, with `secure`.
pub(crate) struct TlsServer {
    /// `https://127.0.0.1:<port>`.
    pub(crate) base_url: String,
    /// Whoever trusts this, trusts the server.
    pub(crate) authority_pem: String,
}

impl TlsServer {
    /// A server whose certificate is for `name`.
    pub(crate) fn for_name(name: &str) -> Self {
        let (config, authority_pem) = identity(name);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let config = Arc::new(config);
        // Lives as long as the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = ServerConnection::new(Arc::clone(&config)).expect("set up");
                // A client that refuses the certificate ends it here.
                let _ = answer(&mut StreamOwned::new(connection, stream));
            }
        });
        Self {
            base_url: format!("https://{address}"),
            authority_pem,
        }
    }
}

fn answer(stream: &mut (impl Read + Write)) -> std::io::Result<()> {
    let mut seen = Vec::new();
    let mut block = [0; 1024];
    while !seen.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut block)? {
            0 => return Ok(()),
            count => seen.extend_from_slice(&block[..count]),
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecure")?;
    stream.flush()
}

/// A certificate for `name` from an authority of its own.
fn identity(name: &str) -> (ServerConfig, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, authority_key).expect("signed");
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new([name.to_owned()])
        .and_then(|params| params.signed_by(&key, &authority))
        .expect("signed");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("usable");
    (config, authority.pem())
}
