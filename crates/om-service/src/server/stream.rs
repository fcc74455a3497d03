//! A socket that tells what happens on it, and on which every error has a
//! body.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use om_model::service::ServiceErrorCode as Code;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::activity::Activity;
use crate::reply::{Refusal, Reply};

/// The socket of one connection.
///
/// hyper answers requests that it cannot parse by itself, with a status and
/// no body. Those answers are recognised here and get the shape that all
/// errors have.
pub(super) struct Watched {
    socket: TcpStream,
    activity: Arc<Activity>,
    /// What replaces an answer, as far as it is not written yet.
    instead: Vec<u8>,
    /// Whether an answer was replaced: then the client is still sending.
    pub(super) was_malformed: bool,
}

impl Watched {
    pub(super) fn new(socket: TcpStream, activity: Arc<Activity>) -> Self {
        Self {
            socket,
            activity,
            instead: Vec::new(),
            was_malformed: false,
        }
    }

    pub(super) fn into_socket(self) -> TcpStream {
        self.socket
    }

    /// Writes all of [`Self::instead`].
    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.instead.is_empty() {
            let written = Pin::new(&mut self.socket).poll_write(cx, &self.instead);
            match ready!(self.note(written))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => drop(self.instead.drain(..count)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Notes whether the client takes what is written.
    fn note<T>(&self, written: Poll<T>) -> Poll<T> {
        match &written {
            Poll::Pending => self.activity.stalled(),
            Poll::Ready(_) => self.activity.flowing(),
        }
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.activity.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(cx))?;
        if let Some(refusal) = bodiless_error(bytes) {
            self.was_malformed = true;
            self.instead = Reply::from(refusal).into_bytes();
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// What `bytes` say, if they are an answer that hyper made itself: one head
/// of an error status, with no body and without our name.
///
/// No part of our own answers can be taken for one: their heads name the
/// server, and no line breaks are in their bodies.
fn bodiless_error(bytes: &[u8]) -> Option<Refusal> {
    let head = std::str::from_utf8(bytes.strip_suffix(b"\r\n\r\n")?).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?;
    let mut is_empty = false;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("server") {
            return None;
        }
        is_empty |= name.eq_ignore_ascii_case("content-length") && value.trim() == "0";
    }
    if !is_empty {
        return None;
    }
    match status {
        "400" => Some(malformed()),
        "414" | "431" => Some(Refusal::new(
            Code::HeadersTooLarge,
            "the request line and headers are longer than the service accepts",
        )),
        _ => None,
    }
}

/// For requests that are no HTTP.
pub(super) fn malformed() -> Refusal {
    Refusal::new(Code::InvalidRequest, "the request is not valid HTTP/1.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_that_are_not_ours_are_replaced() {
        let code = |text: &str| bodiless_error(text.as_bytes()).map(|refusal| refusal.code);
        let date = "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";
        for (head, expected) in [
            (
                "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n",
                Some(Code::InvalidRequest),
            ),
            (
                "HTTP/1.0 431 Request Header Fields Too Large\r\nContent-Length: 0\r\n",
                Some(Code::HeadersTooLarge),
            ),
            ("HTTP/1.1 400 Bad Request\r\ncontent-length: 7\r\n", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n", None),
            (
                "HTTP/1.1 400 Bad Request\r\nserver: x\r\ncontent-length: 0\r\n",
                None,
            ),
            ("{\"message\":\"HTTP/1.1 400 \"}\r\n", None),
        ] {
            assert_eq!(code(&format!("{head}{date}")), expected, "{head}");
        }
        let ours = Reply::from(malformed()).into_bytes();
        assert_eq!(bodiless_error(&ours), None);
        let head = ours.split(|byte| *byte == b'{').next().expect("a head");
        assert_eq!(bodiless_error(head), None);
    }
}
