//! When the service is asked to end.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Resolves at the first TERM, INT or HUP: what runs is then finished. At the
/// second one the process ends at once, with exit code 128 + its number, and
/// so do its children.
///
/// From now on children of this process are not ended by signals to it.
/// Needs a tokio runtime.
pub fn asked_to_end() -> io::Result<impl Future<Output = ()>> {
    om_stage::keep_children_on_signals();
    let (told, mut asked) = mpsc::channel(1);
    let kinds = [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ];
    for kind in kinds {
        let mut signals = signal(kind)?;
        let told = told.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                // The channel has room for the first.
                if told.try_send(()).is_err() {
                    om_stage::end_children();
                    std::process::exit(128 + kind.as_raw_value());
                }
            }
        });
    }
    Ok(async move {
        asked.recv().await;
        // Closed: whoever sends next is the second.
        asked.close();
    })
}
