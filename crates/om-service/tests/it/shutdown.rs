//! Ending in good order.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Answer, Client, Repo, Server, wait_until};

const CANCEL: &str = r#"{"loopId":"nightly","intent":"cancel","noConfirm":true}"#;

#[test]
fn an_idle_service_ends_at_once_whoever_is_connected() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let mut idle = server.connect();
    idle.request("GET", "/healthz", &[], b"");
    assert_eq!(idle.answer().status, 200);
    let mut unfinished = server.connect();
    unfinished.write("GET /healthz HTTP/1.1\r\nX:");
    assert_eq!(server.get("/healthz").status, 200);
    let begun = Instant::now();
    server.end();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(idle.is_closed() && unfinished.is_closed());
}

#[test]
fn nor_does_a_request_hold_it_whose_body_is_not_there() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let mut unfinished = server.connect();
    // The answer to `Expect` says that the body is being waited for.
    unfinished.write(
        "POST /ops/control HTTP/1.1\r\nHost: t\r\nContent-Length: 40\r\n\
         Expect: 100-continue\r\n\r\n",
    );
    let mut said = [0; 25];
    unfinished.socket.read_exact(&mut said).expect("go on");
    assert_eq!(&said, b"HTTP/1.1 100 Continue\r\n\r\n");
    unfinished.write("{\"loopId\":");
    let begun = Instant::now();
    server.end();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(unfinished.is_closed());
    assert_eq!(repo.calls(), 0);
}

#[test]
fn nor_does_a_client_hold_it_that_does_not_read_its_answers() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let mut deaf = server.connect();
    deaf.socket
        .set_write_timeout(Some(Duration::from_millis(200)))
        .expect("set");
    // Until neither side takes any more.
    let request = b"GET /openapi.json HTTP/1.1\r\nHost: t\r\n\r\n".repeat(1_000);
    while deaf.socket.write_all(&request).is_ok() {}
    let begun = Instant::now();
    server.end();
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_control_that_runs_is_finished_and_answered() {
    let repo = Repo::new();
    repo.hold();
    let mut server = Server::start(&repo);
    let mut client = server.connect();
    client.request("POST", "/ops/control", &[], CANCEL.as_bytes());
    wait_until("it is executed", || repo.calls() == 1);
    let address = server.address;
    server.ask_to_end();
    wait_until("nobody listens any more", || {
        std::net::TcpStream::connect(address).is_err()
    });
    assert!(!server.has_ended());
    repo.let_go();
    let answer = client.answer();
    assert_eq!(answer.status, 200);
    assert!(client.is_closed());
    server.end();
    assert_eq!(repo.rows("intents.jsonl").len(), 1);
}

#[test]
fn also_if_its_client_has_gone_away() {
    let repo = Repo::new();
    repo.hold();
    let mut server = Server::start(&repo);
    let mut client = server.connect();
    client.request("POST", "/ops/control", &[], CANCEL.as_bytes());
    wait_until("it is executed", || repo.calls() == 1);
    drop(client);
    let address = server.address;
    server.ask_to_end();
    wait_until("nobody listens any more", || {
        std::net::TcpStream::connect(address).is_err()
    });
    assert!(!server.has_ended());
    repo.let_go();
    server.end();
    assert_eq!(repo.rows("intents.jsonl").len(), 1);
}

#[test]
fn requests_that_arrive_meanwhile_get_an_answer_or_none_but_never_half_of_one() {
    let repo = Repo::new();
    let mut server = Server::start(&repo);
    let address = server.address;
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(answer) = asked(address) {
                    assert_eq!(answer.status, 200);
                    answer.json();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        wait_until("many were answered", || {
            answered.load(Ordering::Relaxed) > 200
        });
        server.ask_to_end();
    });
    server.end();
}

/// One answer on a connection of its own, if there is one.
fn asked(address: SocketAddr) -> Option<Answer> {
    let mut client = Client::try_new(address)?;
    let head = b"GET /ops/snapshot?loopId=nightly HTTP/1.1\r\nHost: t\r\n\r\n";
    client.socket.write_all(head).ok()?;
    client.maybe_answer()
}
