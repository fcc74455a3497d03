//! A local receiver of webhooks, for demos and drills: it accepts whatever is
//! posted to it on loopback and keeps it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use om_model::json;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

type Kept = Arc<Mutex<Vec<Value>>>;

/// A receiver that runs until it is dropped.
#[derive(Debug)]
pub struct Inbox {
    address: SocketAddr,
    kept: Kept,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Inbox {
    /// Listens on a free port of 127.0.0.1, on a thread of its own.
    pub fn open() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let kept = Kept::default();
        let app = Router::new().fallback(keep).with_state(Arc::clone(&kept));
        let (end, ended) = oneshot::channel();
        let serve = async move {
            let ended = async { ended.await.unwrap_or_default() };
            axum::serve(listener, app)
                .with_graceful_shutdown(ended)
                .await
        };
        Ok(Self {
            address,
            kept,
            end: Some(end),
            thread: Some(std::thread::spawn(move || runtime.block_on(serve))),
        })
    }

    /// Where to post to.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What was posted so far, in order; what is not JSON is `null`.
    pub fn received(&self) -> Vec<Value> {
        let kept = self.kept.lock();
        kept.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            // It may have ended by itself.
            let _ = end.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn keep(State(kept): State<Kept>, body: Bytes) {
    let value = json::parse(&body).unwrap_or(Value::Null);
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.push(value);
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn what_is_posted_is_kept_in_order() {
        let inbox = Inbox::open().expect("a free port");
        for body in ["{\"a\":1}", "no JSON"] {
            let address = inbox.url();
            let host = address.trim_start_matches("http://").trim_end_matches('/');
            let mut stream = TcpStream::connect(host).expect("it listens");
            let length = body.len();
            let head = format!("POST /x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
            write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}").expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("answered");
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
        assert_eq!(inbox.received(), [serde_json::json!({"a": 1}), Value::Null]);
    }
}
