//! What the environment decides: trust and proxies.

use std::fs;

use super::{get, run_in};
use crate::server::{Reply, Server, refusing};
use crate::tls_server::TlsServer;

#[test]
fn the_platform_s_roots_decide_who_is_trusted() {
    let stranger = TlsServer::for_name("127.0.0.1").authority_pem;
    for (name, known, trusted) in [
        ("127.0.0.1", true, true),
        ("127.0.0.1", false, false),
        ("elsewhere.test", true, false),
    ] {
        let server = TlsServer::for_name(name);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let roots = dir.path().join("roots.pem");
        let authority = if known {
            &server.authority_pem
        } else {
            &stranger
        };
        fs::write(&roots, authority).expect("written");
        let environment = [("SSL_CERT_FILE", roots.to_str().expect("UTF-8"))];
        let (code, stdout, stderr) = run_in(&environment, &get(&server.base_url, "/"));
        if trusted {
            assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "secure", ""));
        } else {
            assert_eq!((code, stdout.as_str()), (1, ""));
            assert!(stderr.contains("invalid peer certificate"), "{stderr}");
        }
    }
}

#[test]
fn a_plain_service_needs_no_roots() {
    let server = Server::start([Reply::status(200, "plain")]);
    let environment = [("SSL_CERT_FILE", "/nowhere"), ("SSL_CERT_DIR", "/nowhere")];
    let run = run_in(&environment, &get(&server.base_url(), "/"));
    assert_eq!(run, (0, "plain".to_owned(), String::new()));
}

#[test]
fn proxy_variables_are_honoured() {
    let proxy = Server::start([Reply::status(200, "from the proxy")]);
    let target = format!("http://{}", refusing());
    let proxy_url = proxy.base_url();
    let through = [("http_proxy", proxy_url.as_str())];
    let run = run_in(&through, &get(&target, "/ops/snapshot"));
    assert_eq!(run, (0, "from the proxy".to_owned(), String::new()));
    let line = format!("GET {target}/ops/snapshot HTTP/1.1");
    assert_eq!(proxy.received()[0].head[0], line);

    let past = [through[0], ("no_proxy", "127.0.0.1")];
    assert_eq!(run_in(&past, &get(&target, "/ops/snapshot")).0, 1);
    assert_eq!(proxy.received().len(), 1);
}
