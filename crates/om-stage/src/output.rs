//! Capturing a child's output on a thread, bounded, and readable at any time.

use std::io::{self, PipeReader, Read};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// Which part of an output beyond the cap is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Its beginning: documents.
    #[default]
    First,
    /// Its end: diagnostics, of which the last lines matter.
    Last,
}

/// One stream of a child, read to its end so that the child never blocks.
#[derive(Debug)]
pub(crate) struct Collector {
    kept: Arc<Mutex<Kept>>,
    end: Receiver<()>,
}

impl Collector {
    /// Starts reading.
    pub(crate) fn start(mut reader: PipeReader, cap: usize, keep: Keep) -> Self {
        let kept = Arc::new(Mutex::new(Kept {
            bytes: Vec::new(),
            cap,
            keep,
        }));
        let (sender, end) = mpsc::channel();
        let shared = Arc::clone(&kept);
        thread::spawn(move || {
            let mut block = [0; 16 << 10];
            loop {
                match reader.read(&mut block) {
                    Ok(0) => break,
                    Ok(n) => lock(&shared).push(&block[..n]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            // The receiver may have stopped waiting; then nobody wants to know.
            let _ = sender.send(());
        });
        Self { kept, end }
    }

    /// Waits until the stream ends, at most until `deadline`.
    pub(crate) fn ends_before(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        self.end.recv_timeout(left) != Err(RecvTimeoutError::Timeout)
    }

    /// What has been read so far.
    pub(crate) fn take(&self) -> Vec<u8> {
        lock(&self.kept).take()
    }
}

#[derive(Debug)]
struct Kept {
    bytes: Vec<u8>,
    cap: usize,
    keep: Keep,
}

impl Kept {
    fn push(&mut self, block: &[u8]) {
        match self.keep {
            Keep::First => {
                let room = self.cap.saturating_sub(self.bytes.len());
                self.bytes
                    .extend_from_slice(&block[..block.len().min(room)]);
            }
            Keep::Last => {
                self.bytes.extend_from_slice(block);
                // Moving the rest only now and then keeps that cheap.
                if self.bytes.len() > self.cap.saturating_mul(2) {
                    self.trim();
                }
            }
        }
    }

    fn trim(&mut self) {
        let excess = self.bytes.len().saturating_sub(self.cap);
        self.bytes.drain(..excess);
    }

    fn take(&mut self) -> Vec<u8> {
        self.trim();
        std::mem::take(&mut self.bytes)
    }
}

/// A panic while holding the lock leaves whole blocks behind.
fn lock(kept: &Mutex<Kept>) -> std::sync::MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(keep: Keep, blocks: &[&[u8]]) -> Vec<u8> {
        let mut kept = Kept {
            bytes: Vec::new(),
            cap: 4,
            keep,
        };
        for block in blocks {
            kept.push(block);
        }
        kept.take()
    }

    #[test]
    fn the_cap_keeps_the_beginning_or_the_end() {
        let blocks: [&[u8]; 4] = [b"abc", b"def", b"ghijk", b"l"];
        assert_eq!(kept(Keep::First, &blocks), b"abcd");
        assert_eq!(kept(Keep::Last, &blocks), b"ijkl");
        assert_eq!(kept(Keep::Last, &[b"ab"]), b"ab");
    }
}
