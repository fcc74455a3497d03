//! An HTTP server on a loopback port that remembers what it was sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    /// Names in lower case, in the order of arrival.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub(crate) fn header_lines(&self, name: &str) -> Vec<&str> {
        let lines = self.headers.iter().filter(|(found, _)| found == name);
        lines.map(|(_, value)| value.as_str()).collect()
    }
}

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A complete response.
    Say(u16, String),
    /// A redirect to this place.
    Redirect(String),
    /// Nothing, for as long as the other side waits.
    Hang,
    /// Half of the promised body, then the end of the connection.
    Truncate,
    /// A body of that many megabytes.
    Flood(usize),
    /// These bytes, then the end of the connection.
    Raw(&'static [u8]),
}

impl Reply {
    pub(crate) fn ok() -> Self {
        Self::Say(200, "ok".to_owned())
    }
}

type Script = dyn Fn(&Received) -> Reply + Send + Sync;

pub(crate) struct Receiver {
    address: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// Answers every request the same way.
    pub(crate) fn saying(reply: Reply) -> Self {
        Self::scripted(move |_| reply.clone())
    }

    /// Answers as `script` says. Ends with the process.
    pub(crate) fn scripted(script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let received = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(script);
        let log = Arc::clone(&received);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                thread::spawn(move || serve(connection, &log, &*script));
            }
        });
        Self { address, received }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().expect("not poisoned").clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.received.lock().expect("not poisoned").len()
    }
}

fn serve(connection: TcpStream, log: &Mutex<Vec<Received>>, script: &Script) {
    connection.set_nodelay(true).expect("a socket");
    let mut reader = BufReader::new(connection.try_clone().expect("a socket"));
    while let Some(request) = read_request(&mut reader) {
        log.lock().expect("not poisoned").push(request.clone());
        if !answer(&connection, script(&request)) {
            // The other side may have gone first.
            let _ = connection.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Received> {
    let mut next = || {
        let mut line = String::new();
        let read = reader.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    };
    let path = next()?.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let line = next()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Received {
        path,
        headers,
        body,
    })
}

/// Whether the connection goes on.
fn answer(mut connection: &TcpStream, reply: Reply) -> bool {
    let mut send = |text: &[u8]| connection.write_all(text).is_ok();
    match reply {
        Reply::Say(status, body) => send(
            format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .as_bytes(),
        ),
        Reply::Redirect(to) => send(
            format!("HTTP/1.1 302 X\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").as_bytes(),
        ),
        Reply::Hang => {
            let mut rest = Vec::new();
            let _ = connection.read_to_end(&mut rest);
            false
        }
        Reply::Truncate => {
            send(b"HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\nhalf");
            false
        }
        Reply::Flood(megabytes) => {
            let length = megabytes << 20;
            let head = format!("HTTP/1.1 200 X\r\nContent-Length: {length}\r\n\r\n");
            let block = vec![b'x'; 1 << 20];
            send(head.as_bytes()) && (0..megabytes).all(|_| send(&block))
        }
        Reply::Raw(bytes) => {
            send(bytes);
            false
        }
    }
}
