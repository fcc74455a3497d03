//! Looking up names without holding the process.
//!
//! The system's resolver blocks, for half a minute if no name server answers.
//! On a thread of its own, which nobody waits for, a lookup is bounded by the
//! request's time limit; on the runtime's blocking pool the end of the
//! program would wait for it.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::oneshot;

/// A name without an address.
#[derive(Debug, thiserror::Error)]
#[error("cannot resolve {name}: {cause}")]
pub(crate) struct LookupFailed {
    name: String,
    cause: io::Error,
}

/// Asks the system's resolver.
pub(crate) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        Box::pin(async move {
            let found = lookup(name.clone()).await;
            match found {
                Ok(addresses) => Ok(Box::new(addresses.into_iter()) as Addrs),
                Err(cause) => Err(LookupFailed { name, cause }.into()),
            }
        })
    }
}

async fn lookup(name: String) -> io::Result<Vec<SocketAddr>> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("dns".to_owned())
        .spawn(move || {
            // The port is set by the connector.
            let found = (name.as_str(), 0).to_socket_addrs().map(Iterator::collect);
            // Nobody may be waiting any more.
            let _ = sender.send(found);
        })?;
    receiver
        .await
        .unwrap_or_else(|_| Err(io::Error::other("the lookup was abandoned")))
}
