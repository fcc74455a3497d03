//! A server that says what it is told to, and remembers what it was asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

/// What is done with one request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A whole response; the connection stays open.
    Http {
        /// Status code.
        status: u16,
        /// Lines without line breaks.
        headers: Vec<String>,
        /// The body.
        body: Vec<u8>,
    },
    /// These bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// These bytes, then the connection is reset.
    Reset(Vec<u8>),
    /// These bytes, then nothing until the server ends.
    Hang(Vec<u8>),
}

impl Reply {
    /// A status with a body.
    pub(crate) fn status(status: u16, body: impl AsRef<[u8]>) -> Self {
        Self::Http {
            status,
            headers: Vec::new(),
            body: body.as_ref().to_vec(),
        }
    }

    /// The same with one more header line.
    pub(crate) fn with_header(mut self, line: &str) -> Self {
        if let Self::Http { headers, .. } = &mut self {
            headers.push(line.to_owned());
        }
        self
    }

    /// A response whose body is shorter than it says.
    pub(crate) fn cut_short() -> Vec<u8> {
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this".to_vec()
    }
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Number of the connection, counted from 0.
    pub(crate) connection: usize,
    /// Request line and header lines.
    pub(crate) head: Vec<String>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// Values of a header, in order.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let lines = self.head.iter().skip(1);
        lines
            .filter_map(|line| line.split_once(": "))
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }
}

/// A listening server; it ends when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    /// One per request; the last one is used again and again.
    script: Vec<Reply>,
    next: AtomicUsize,
    ended: AtomicBool,
    received: Mutex<Vec<Received>>,
    /// Connections that are kept open without a word.
    silent: Mutex<Vec<TcpStream>>,
}

impl Server {
    /// Answers with `script`, request by request.
    pub(crate) fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            script: script.into_iter().collect(),
            next: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            received: Mutex::default(),
            silent: Mutex::default(),
        });
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self {
            address,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// `http://127.0.0.1:<port>`.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `127.0.0.1:<port>`.
    pub(crate) fn origin(&self) -> String {
        self.address.to_string()
    }

    /// Everything that arrived so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        locked(&self.shared.received).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        locked(&self.shared.silent).clear();
        // Wakes the acceptor, unless it is gone already.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// A port of this machine where nobody listens.
pub(crate) fn refusing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").to_string()
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (connection, stream) in listener.incoming().enumerate() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        thread::spawn(move || serve(stream, connection, &shared));
    }
}

/// Serves one connection until the script or the client ends it.
fn serve(mut stream: TcpStream, connection: usize, shared: &Shared) {
    while let Some(request) = read_request(&mut stream, connection) {
        locked(&shared.received).push(request);
        let number = shared.next.fetch_add(1, Ordering::SeqCst);
        let Some(reply) = shared.script.get(number).or(shared.script.last()) else {
            return;
        };
        // A client that went away is a case of its own, not a failure here.
        let keep = answer(&mut stream, reply).unwrap_or(false);
        if matches!(reply, Reply::Hang(_)) {
            locked(&shared.silent).push(stream);
            return;
        }
        if !keep {
            return;
        }
    }
}

fn answer(stream: &mut TcpStream, reply: &Reply) -> std::io::Result<bool> {
    match reply {
        Reply::Http {
            status,
            headers,
            body,
        } => {
            let mut head = format!("HTTP/1.1 {status} Status\r\n");
            for line in headers {
                head.push_str(line);
                head.push_str("\r\n");
            }
            let length = body.len();
            head = format!("{head}Content-Length: {length}\r\n\r\n");
            stream.write_all(&[head.as_bytes(), body].concat())?;
            Ok(true)
        }
        Reply::Raw(bytes) => stream.write_all(bytes).map(|()| false),
        Reply::Hang(bytes) => stream.write_all(bytes).map(|()| true),
        Reply::Reset(bytes) => {
            stream.write_all(bytes)?;
            rustix::net::sockopt::set_socket_linger(&*stream, Some(std::time::Duration::ZERO))?;
            Ok(false)
        }
    }
}

fn read_request(stream: &mut TcpStream, connection: usize) -> Option<Received> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        if !read_more(stream, &mut bytes) {
            return None;
        }
    };
    let head: Vec<String> = String::from_utf8_lossy(&bytes[..end])
        .split("\r\n")
        .map(str::to_owned)
        .collect();
    let mut request = Received {
        connection,
        head,
        body: bytes.split_off(end + 4),
    };
    let length = request.header("content-length").first().copied();
    let length: usize = length.map_or(0, |text| text.parse().expect("a length"));
    while request.body.len() < length {
        if !read_more(stream, &mut request.body) {
            return None;
        }
    }
    Some(request)
}

fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    let mut block = [0; 8192];
    match stream.read(&mut block) {
        Ok(0) | Err(_) => false,
        Ok(count) => {
            bytes.extend_from_slice(&block[..count]);
            true
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test thread panicked")
}
