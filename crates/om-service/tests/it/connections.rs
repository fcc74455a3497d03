//! Connections: kept, bounded, timed, and never a danger to the others.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use crate::support::{Client, Repo, Server, wait_until};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n";

#[test]
fn a_connection_is_kept() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let mut client = server.connect();
    for target in [
        "/healthz",
        "/nowhere",
        "/ops/snapshot?loopId=nightly",
        "/healthz",
    ] {
        client.request("GET", target, &[], b"");
        assert_eq!(client.answer().header("connection"), None);
    }
}

#[test]
fn requests_may_be_sent_ahead() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let mut client = server.connect();
    client.write(HEALTH.repeat(50));
    for _ in 0..50 {
        assert_eq!(client.answer().status, 200);
    }
}

#[test]
fn http_1_0_and_connection_close_end_it() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    for head in [
        "GET /healthz HTTP/1.0\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.write(head);
        assert_eq!(client.answer().status, 200);
        assert!(client.is_closed());
    }
}

#[test]
fn a_client_that_has_nothing_more_to_send_gets_its_answer() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let mut client = server.connect();
    client.request("GET", "/ops/snapshot?loopId=nightly", &[], b"");
    client.half_close();
    assert_eq!(client.answer().status, 200);
    assert!(client.is_closed());
}

#[test]
fn what_is_no_http_is_answered_in_the_shape_of_errors() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /health\0z HTTP/1.1\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.write(garbage);
        let answer = client.answer();
        let shown = String::from_utf8_lossy(garbage).into_owned();
        assert_eq!(answer.error(), (400, "invalid_request".into()), "{shown:?}");
        client.half_close();
        assert!(client.is_closed());
    }
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn garbage_behind_a_good_request_is_answered_too() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let mut client = server.connect();
    client.write(HEALTH);
    assert_eq!(client.answer().status, 200);
    client.write("nonsense\r\n\r\n");
    assert_eq!(client.answer().error(), (400, "invalid_request".into()));
}

#[test]
fn headers_beyond_the_limit_are_431_even_if_more_is_coming() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    for filler in [
        format!("X-Filler: {}\r\n", "x".repeat(200_000)),
        "X-Filler: x\r\n".repeat(20_000),
        "X: y\r\n".repeat(150),
    ] {
        let mut client = server.connect();
        // The server may hang up before all of it is sent.
        let head = format!("GET /healthz HTTP/1.1\r\nHost: t\r\n{filler}\r\n");
        let _ = client.socket.write_all(head.as_bytes());
        let answer = client.answer();
        assert_eq!(answer.error(), (431, "headers_too_large".into()));
    }
    let long = format!("/healthz?{}", "x".repeat(100_000));
    let mut client = server.connect();
    let _ = client
        .socket
        .write_all(format!("GET {long} HTTP/1.1\r\n\r\n").as_bytes());
    assert_eq!(client.answer().status, 431);
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn headers_that_trickle_in_are_not_waited_for() {
    let repo = Repo::new();
    let server = Server::with(&repo, |config| {
        config.limits.head_time = Duration::from_millis(200);
    });
    let mut client = server.connect();
    client.write("GET /healthz HTTP/1.1\r\n");
    let mut trickle = client.socket.try_clone().expect("cloned");
    let trickling = thread::spawn(move || {
        // Until the server hangs up.
        while trickle.write_all(b"X: y\r\n").is_ok() {
            thread::sleep(Duration::from_millis(10));
        }
    });
    let answer = client.answer();
    assert_eq!(answer.error(), (408, "request_timeout".into()));
    client.socket.shutdown(Shutdown::Both).expect("shut down");
    trickling.join().expect("no panic");
}

#[test]
fn slow_clients_hold_nobody_up() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let slow: Vec<Client> = (0..200)
        .map(|_| {
            let mut client = server.connect();
            client.write("GET /healthz HTTP/1.1\r\nX: ");
            client
        })
        .collect();
    assert_eq!(server.get("/ops/snapshot?loopId=nightly").status, 200);
    drop(slow);
}

#[test]
fn an_idle_connection_ends_without_a_word() {
    let repo = Repo::new();
    let server = Server::with(&repo, |config| {
        config.limits.idle_time = Duration::from_millis(100);
    });
    assert!(server.connect().is_closed());
    let mut client = server.connect();
    client.write(HEALTH);
    assert_eq!(client.answer().status, 200);
    assert!(client.is_closed());
}

#[test]
fn hundreds_of_idle_connections_are_no_problem() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let mut idle: Vec<Client> = (0..500).map(|_| server.connect()).collect();
    for _ in 0..20 {
        assert_eq!(server.get("/ops/events?loopId=nightly").status, 200);
    }
    for client in &mut idle {
        client.write(HEALTH);
        assert_eq!(client.answer().status, 200);
    }
}

#[test]
fn in_a_full_house_the_connection_that_is_idle_for_longest_makes_room() {
    let repo = Repo::new();
    let server = Server::with(&repo, |config| config.limits.connections = 3);
    let mut clients: Vec<Client> = (0..3)
        .map(|_| {
            let mut client = server.connect();
            client.write(HEALTH);
            assert_eq!(client.answer().status, 200);
            client
        })
        .collect();
    // The first is not the idlest any more.
    clients[0].write(HEALTH);
    assert_eq!(clients[0].answer().status, 200);
    assert_eq!(server.get("/healthz").status, 200);
    assert!(clients[1].is_closed());
    for kept in [0, 2] {
        clients[kept].write(HEALTH);
        assert_eq!(clients[kept].answer().status, 200);
    }
}

#[test]
fn in_a_house_full_of_work_newcomers_are_turned_away() {
    let repo = Repo::new();
    repo.hold();
    let server = Server::with(&repo, |config| config.limits.connections = 1);
    let body = r#"{"loopId":"nightly","intent":"cancel","noConfirm":true}"#;
    let mut busy = server.connect();
    busy.request("POST", "/ops/control", &[], body.as_bytes());
    wait_until("it is executed", || repo.calls() == 1);
    let mut newcomer = server.connect();
    let answer = newcomer.answer();
    assert_eq!(answer.error(), (503, "service_busy".into()));
    assert!(newcomer.is_closed());
    repo.let_go();
    assert_eq!(busy.answer().status, 200);
    // Now it is idle, and makes room.
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_client_that_does_not_take_its_answer_is_not_waited_for() {
    let repo = Repo::new();
    let line = crate::support::event(1) + "\n";
    repo.append_log(&line.repeat(20_000));
    let server = Server::with(&repo, |config| {
        config.limits.write_time = Duration::from_millis(50);
    });
    let mut client = server.connect();
    client.request("GET", "/ops/events?loopId=nightly", &[], b"");
    // The answer is there, does not fit into the buffers, and is not read.
    assert_eq!(client.socket.peek(&mut [0]).expect("an answer"), 1);
    let mut other = server.connect();
    for _ in 0..50 {
        other.write(HEALTH);
        assert_eq!(other.answer().status, 200);
        thread::sleep(Duration::from_millis(10));
    }
    let mut received = Vec::new();
    // The connection may be reset, which is as good as closed.
    let _ = client.socket.read_to_end(&mut received);
    assert!(!received.ends_with(b"}}"), "the answer was cut off");
}
