//! Ending gracefully: the first signal asks, the second one ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Whether somebody has asked this process to end.
#[derive(Clone, Debug, Default)]
pub struct StopRequest(Arc<AtomicI32>);

impl StopRequest {
    /// Listens for TERM, INT and HUP from now on: the first one is kept, at
    /// the second one the process and its children end at once, with exit code
    /// 128 + its number. Until then children are left alone.
    pub fn listen() -> io::Result<Self> {
        let request = Self::default();
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        om_stage::keep_children_on_signals();
        let shared = request.clone();
        thread::spawn(move || {
            for signal in signals.forever() {
                if shared.0.swap(signal, Ordering::SeqCst) != 0 {
                    om_stage::end_children();
                    std::process::exit(128 + signal);
                }
            }
        });
        Ok(request)
    }

    /// Whether a signal has come.
    pub fn is_made(&self) -> bool {
        self.0.load(Ordering::SeqCst) != 0
    }

    /// The name of the signal that has come; of `TERM` if it was none.
    pub fn signal_name(&self) -> &'static str {
        match self.0.load(Ordering::SeqCst) {
            SIGHUP => "SIGHUP",
            SIGINT => "SIGINT",
            _ => "SIGTERM",
        }
    }

    /// The exit code that tells of the signal; `None` if there was none.
    pub fn exit_code(&self) -> Option<u8> {
        let signal = u8::try_from(self.0.load(Ordering::SeqCst)).ok()?;
        (signal != 0).then_some(128_u8.saturating_add(signal))
    }
}
