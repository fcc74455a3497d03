//! One connection, from its first byte to its end.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use http::header::CONNECTION;
use http::{HeaderMap, Request};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use om_model::service::ServiceErrorCode as Code;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tower_service::Service;

use super::activity::Overdue;
use super::arriving::Arriving;
use super::roster::Guest;
use super::stream::{Watched, malformed};
use crate::app::Peer;
use crate::config::Limits;
use crate::reply::{Refusal, Reply};

/// How long a client that is still sending gets to come to the answer.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// How much of what it is sending is read meanwhile.
const LINGER_BYTES: usize = 32 << 20;

/// How long a client gets to take its answers once the service ends.
const PARTING_TIME: Duration = Duration::from_secs(1);

/// When a deadline is far enough away not to matter.
const FAR: Duration = Duration::from_secs(24 * 3_600);

/// One connection to be served.
pub(super) struct Connection {
    pub(super) router: axum::Router,
    pub(super) limits: Limits,
    pub(super) guest: Guest,
    pub(super) peer: SocketAddr,
    /// Becomes `true` when the service ends.
    pub(super) ending: watch::Receiver<bool>,
}

/// How serving ended.
enum End {
    /// Closed, by either side.
    Closed,
    /// It was no HTTP and got no answer yet.
    Malformed,
    /// It took too long.
    Overdue(Overdue),
    /// Its room is needed, or the service ends, and nothing was being done.
    Evicted,
}

impl Connection {
    /// Answers requests until the connection ends.
    pub(super) async fn serve(mut self, socket: TcpStream) {
        let activity = std::sync::Arc::clone(&self.guest.activity);
        let stream = Watched::new(socket, std::sync::Arc::clone(&activity));
        let (router, peer) = (self.router.clone(), self.peer);
        let service = service_fn(move |request: Request<Incoming>| {
            activity.begin(!request.body().is_end_stream());
            let (mut router, activity) = (router.clone(), std::sync::Arc::clone(&activity));
            let arriving = std::sync::Arc::clone(&activity);
            let mut request = request.map(|body| Body::new(Arriving::new(body, arriving)));
            request.extensions_mut().insert(Peer(peer));
            async move {
                let response = router.call(request).await;
                let closes = response.as_ref().is_ok_and(|r| closes(r.headers()));
                activity.end(closes);
                response
            }
        });
        let mut connection = http1::Builder::new()
            .max_buf_size(self.limits.head_bytes.max(8_192))
            // A client may say that it has nothing more to send before it
            // reads the answer.
            .half_close(true)
            // The limits here are finer.
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(stream), service);
        let end = self.drive(Pin::new(&mut connection)).await;
        let stream = connection.into_parts().io.into_inner();
        self.finish(end, stream).await;
    }

    /// Polls `connection` until it ends or has to.
    async fn drive<C>(&mut self, mut connection: Pin<&mut C>) -> End
    where
        C: Future<Output = hyper::Result<()>> + Graceful,
    {
        let activity = std::sync::Arc::clone(&self.guest.activity);
        let mut evicted = std::pin::pin!(activity.evicted.notified());
        let mut ending = std::pin::pin!(ended(&mut self.ending));
        let mut ending_since = None;
        let mut alarm = std::pin::pin!(sleep_until(Instant::now() + FAR));
        poll_fn(|cx| {
            if ending_since.is_none() && ending.as_mut().poll(cx).is_ready() {
                ending_since = Some(Instant::now());
                connection.as_mut().end_gracefully();
            }
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(match result {
                    Err(error) if error.is_parse() => End::Malformed,
                    Err(error) => {
                        tracing::debug!(%error, "the connection broke");
                        End::Closed
                    }
                    Ok(()) => End::Closed,
                });
            }
            // hyper would wait for the rest of the request.
            if ending_since.is_some() && activity.is_unfinished() {
                return Poll::Ready(End::Evicted);
            }
            if evicted.as_mut().poll(cx).is_ready() && activity.idle_since().is_some() {
                return Poll::Ready(End::Evicted);
            }
            // Nor does it give up on a client that does not read.
            let parting = ending_since.zip(activity.idle_since());
            let parting = parting.map(|(ending, idle)| ending.max(idle) + PARTING_TIME);
            let due = activity.deadline(&self.limits);
            let due = due.into_iter().chain(parting.map(|at| (at, Overdue::Idle)));
            let Some((deadline, overdue)) = due.min_by_key(|(at, _)| *at) else {
                return Poll::Pending;
            };
            if alarm.deadline() != deadline {
                alarm.as_mut().reset(deadline);
            }
            alarm.as_mut().poll(cx).map(|()| End::Overdue(overdue))
        })
        .await
    }

    /// Says what is to be said, and lets a client that is still sending come
    /// to read it.
    async fn finish(&mut self, end: End, stream: Watched) {
        let has_unread = self.guest.activity.has_unread() || stream.was_malformed;
        let was_answered = stream.was_malformed;
        let mut socket = stream.into_socket();
        let last_words = match end {
            End::Malformed if !was_answered => Some(malformed()),
            End::Overdue(Overdue::Head) => Some(Refusal::new(
                Code::RequestTimeout,
                format!(
                    "the request did not arrive within {} s",
                    self.limits.head_time.as_secs()
                ),
            )),
            End::Closed if !has_unread => return,
            End::Overdue(Overdue::Idle | Overdue::Stalled) | End::Evicted => return,
            End::Closed | End::Malformed => None,
        };
        let parting = async {
            if let Some(refusal) = last_words {
                socket.write_all(&Reply::from(refusal).into_bytes()).await?;
            }
            socket.shutdown().await?;
            let mut rest = socket.take(LINGER_BYTES as u64);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
        };
        // Nothing depends on whether the client listens.
        let _ = timeout(LINGER_TIME, until_ended(&mut self.ending, parting)).await;
    }
}

/// A connection that can be told to end with its current request.
trait Graceful {
    fn end_gracefully(self: Pin<&mut Self>);
}

impl<S> Graceful for http1::Connection<TokioIo<Watched>, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn end_gracefully(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Whether an answer says that the connection ends with it.
fn closes(headers: &HeaderMap) -> bool {
    headers
        .get(CONNECTION)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

/// Waits for `parting`, but not for much longer once the service ends.
async fn until_ended(ending: &mut watch::Receiver<bool>, parting: impl Future) {
    let no_longer = async {
        ended(ending).await;
        sleep(PARTING_TIME).await;
    };
    tokio::select! {
        _ = parting => {}
        () = no_longer => {}
    }
}

async fn ended(ending: &mut watch::Receiver<bool>) {
    // An error means that the service is gone, which is an end as well.
    let _ = ending.wait_for(|ending| *ending).await;
}
