//! Connections: accepted, bounded, timed, and ended in good order (decision
//! D32).

mod activity;
mod arriving;
mod connection;
mod descriptors;
mod roster;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::app::App;
use crate::config::ServiceConfig;
use crate::heartbeat;
use crate::reply::{Refusal, Reply};
use connection::Connection;
use roster::Roster;

/// Pause after a connection could not be accepted for lack of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a full house waits for a connection to make room.
const ROOM_WAIT: Duration = Duration::from_millis(500);

/// Serves `config` on `listener` until `shutdown` resolves and everything
/// that was running then has ended: requests are answered, controls come to
/// their end, whether or not somebody waits for them. Idle connections end at
/// once.
///
/// The soft limit of open files is raised to the hard one. Errors: the
/// listener cannot be used at all.
pub async fn serve(
    listener: TcpListener,
    config: ServiceConfig,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let every = config.heartbeat_interval;
    let controls = config.limits.controls;
    let app = App::new(config);
    let heartbeats = every.map(|every| tokio::spawn(heartbeat::beat(Arc::clone(&app), every)));
    let (end, ending) = watch::channel(false);
    let mut house = House::new(Arc::clone(&app), ending);
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.accept() => house.receive(accepted).await,
            Some(_) = house.connections.join_next() => {}
        }
    }
    tracing::info!("ending: finishing what runs");
    drop(listener);
    app.begin_to_end();
    end.send_replace(true);
    if let Some(heartbeats) = heartbeats {
        heartbeats.abort();
    }
    while house.connections.join_next().await.is_some() {}
    // Controls whose client went away hold their permits to the end.
    let all = u32::try_from(controls).unwrap_or(u32::MAX);
    let ended = app.controls.acquire_many(all).await;
    drop(ended);
    if let Some(log) = &app.config.access_log {
        log.flush();
    }
    Ok(())
}

/// The connections of a service.
struct House {
    app: Arc<App>,
    router: axum::Router,
    roster: Arc<Roster>,
    rooms: Arc<Semaphore>,
    ending: watch::Receiver<bool>,
    connections: JoinSet<()>,
}

impl House {
    fn new(app: Arc<App>, ending: watch::Receiver<bool>) -> Self {
        let most = descriptors::connections(app.config.limits.connections);
        Self {
            router: app.router(),
            roster: Arc::default(),
            rooms: Arc::new(Semaphore::new(most)),
            ending,
            connections: JoinSet::new(),
            app,
        }
    }

    async fn receive(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((stream, peer)) => match self.room().await {
                Some(room) => self.admit(stream, peer, room),
                None => {
                    self.connections.spawn(turn_away(stream));
                }
            },
            Err(error) if is_exhaustion(&error) => {
                tracing::warn!(%error, "cannot accept a connection; ending an idle one");
                self.roster.end_idlest();
                sleep(ACCEPT_PAUSE).await;
            }
            // The client went away before it was accepted, and the like.
            Err(error) => {
                tracing::debug!(%error, "no connection");
                tokio::task::yield_now().await;
            }
        }
    }

    /// Room for one more connection; the one that is idle for longest makes
    /// it if there is none.
    async fn room(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(room) = Arc::clone(&self.rooms).try_acquire_owned() {
            return Some(room);
        }
        if !self.roster.end_idlest() {
            return None;
        }
        let room = Arc::clone(&self.rooms).acquire_owned();
        timeout(ROOM_WAIT, room).await.ok()?.ok()
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr, room: OwnedSemaphorePermit) {
        // Answers are small and written at once.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "the connection is gone already");
        }
        let connection = Connection {
            router: self.router.clone(),
            limits: self.app.config.limits.clone(),
            guest: self.roster.enter(),
            peer,
            ending: self.ending.clone(),
        };
        self.connections.spawn(async move {
            connection.serve(stream).await;
            drop(room);
        });
    }
}

/// Whether the system lacks what a connection needs.
fn is_exhaustion(error: &io::Error) -> bool {
    let lacking = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    let code = error.raw_os_error();
    lacking
        .iter()
        .any(|errno| code == Some(errno.raw_os_error()))
}

/// All connections are busy: says so and hangs up.
async fn turn_away(mut stream: TcpStream) {
    let reply = Reply::from(Refusal::busy("too many connections; try again later"));
    let said = async {
        stream.write_all(&reply.into_bytes()).await?;
        stream.shutdown().await
    };
    // Whoever does not listen is not waited for.
    let _ = timeout(ROOM_WAIT, said).await;
}
