//! As much HTTP/1.1 as a benchmark needs: messages with a `Content-Length`
//! over connections that are kept.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

/// One end of a connection.
pub(super) struct Connection {
    stream: TcpStream,
    /// What was received and not yet taken.
    buffer: Vec<u8>,
}

/// A request or response.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Request line or status line.
    pub(super) start_line: String,
    /// Everything after the headers.
    pub(super) body: Vec<u8>,
}

impl Message {
    /// Whether this is a response with status 200.
    pub(super) fn is_ok(&self) -> bool {
        self.start_line.split(' ').nth(1) == Some("200")
    }
}

/// A request without a body.
pub(super) fn get(host: &str, target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

/// A request with a JSON body.
pub(super) fn post(host: &str, target: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A response with a JSON body.
pub(super) fn response(body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

impl Connection {
    pub(super) fn open(address: impl ToSocketAddrs) -> io::Result<Self> {
        Self::over(TcpStream::connect(address)?)
    }

    pub(super) fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Sends a request and waits for its response.
    pub(super) fn exchange(&mut self, request: &[u8]) -> io::Result<Message> {
        self.send(request)?;
        self.receive()
    }

    pub(super) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.stream.write_all(message)
    }

    /// Waits for one whole message. The other end's farewell is an error.
    pub(super) fn receive(&mut self) -> io::Result<Message> {
        let head = loop {
            let found = self.buffer.windows(4).position(|four| four == b"\r\n\r\n");
            match found {
                Some(end) => break end + 4,
                None => self.fill()?,
            }
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).into_owned();
        let whole = head + content_length(&text);
        while self.buffer.len() < whole {
            self.fill()?;
        }
        let rest = self.buffer.split_off(whole);
        let message = std::mem::replace(&mut self.buffer, rest);
        Ok(Message {
            start_line: text.lines().next().unwrap_or_default().to_owned(),
            body: message[head..].to_vec(),
        })
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length => {
                self.buffer.extend_from_slice(&chunk[..length]);
                Ok(())
            }
        }
    }
}

/// Zero without one.
fn content_length(head: &str) -> usize {
    let value = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    value.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn messages_arrive_whole_and_one_after_the_other() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = Connection::open(address).unwrap();
        let mut server = Connection::over(listener.accept().unwrap().0).unwrap();
        let requests = [get("h", "/a"), post("h", "/b", "{}")].concat();
        client.send(&requests).unwrap();
        let first = server.receive().unwrap();
        assert_eq!(first.start_line, "GET /a HTTP/1.1");
        assert_eq!(first.body, b"");
        assert_eq!(server.receive().unwrap().body, b"{}");
        server.send(&response(b"[1]")).unwrap();
        let answer = client.receive().unwrap();
        assert!(answer.is_ok());
        assert_eq!(answer.body, b"[1]");
        drop(server);
        assert!(client.receive().is_err());
    }

    #[test]
    fn the_length_is_found_whatever_the_case_of_its_name() {
        for (head, length) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", 7),
            ("HTTP/1.1 200 OK\r\nContent-Length:12\r\n\r\n", 12),
            ("GET / HTTP/1.1\r\n\r\n", 0),
        ] {
            assert_eq!(content_length(head), length);
        }
    }
}
