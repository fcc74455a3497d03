//! Signals.

use rustix::process::Signal;
use serde_json::json;

use super::harness::{Repo, Service, answer, post, wait_until};

#[test]
fn an_idle_service_ends_at_the_first_signal() {
    let repo = Repo::new();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let service = Service::start(&repo, &[]);
        // Idle, and in the middle of a request.
        let _idle = service.ask("");
        let _unfinished = service.ask("GET /healthz HTTP/1.1\r\n");
        assert_eq!(service.get("/healthz", "").0, 200);
        service.signal(signal);
        assert_eq!(service.wait().code(), Some(0), "{signal:?}");
    }
}

#[test]
fn the_port_can_be_used_again_at_once() {
    let repo = Repo::new();
    let first = Service::start(&repo, &[]);
    let port = first
        .line
        .trim_end()
        .rsplit(':')
        .next()
        .expect("a port")
        .to_owned();
    let _connected = first.ask("GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(first.get("/healthz", "").0, 200);
    first.signal(Signal::TERM);
    first.wait();
    let second = Service::start(&repo, &["--port", &port]);
    assert_eq!(second.get("/healthz", "").0, 200);
}

#[test]
fn a_control_that_runs_is_finished_first() {
    let repo = Repo::new();
    std::fs::write(repo.file("hold"), "").expect("written");
    let mut service = Service::start(&repo, &[]);
    let control = json!({"loopId": "nightly", "intent": "cancel", "noConfirm": true});
    let waiting = service.ask(&post(&control));
    wait_until("it is executed", || repo.calls() == 1);
    service.signal(Signal::TERM);
    let port = service.line.trim_end().rsplit(':').next().expect("a port");
    let address = format!("127.0.0.1:{port}");
    wait_until("nobody listens any more", || {
        std::net::TcpStream::connect(&address).is_err()
    });
    assert!(!service.has_ended());
    std::fs::remove_file(repo.file("hold")).expect("removed");
    assert_eq!(answer(waiting).0, 200);
    assert_eq!(service.wait().code(), Some(0));
    assert_eq!((repo.intents().len(), repo.lines("signals")), (1, 0));
}

#[test]
fn a_second_signal_ends_it_and_the_runtimes_command_at_once() {
    let repo = Repo::new();
    std::fs::write(repo.file("hold"), "").expect("written");
    let service = Service::start(&repo, &[]);
    let control = json!({"loopId": "nightly", "intent": "cancel", "noConfirm": true});
    let _waiting = service.ask(&post(&control));
    wait_until("it is executed", || repo.calls() == 1);
    service.signal(Signal::TERM);
    let port = service.line.trim_end().rsplit(':').next().expect("a port");
    let address = format!("127.0.0.1:{port}");
    wait_until("the first was heard", || {
        std::net::TcpStream::connect(&address).is_err()
    });
    service.signal(Signal::INT);
    assert_eq!(service.wait().code(), Some(130));
    wait_until("the runtime was asked to end", || {
        repo.lines("signals") == 1
    });
}
