//! One line per answer (chapter 03 §3.4.2).

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

/// Lines that may wait to be written; more are dropped and counted.
const QUEUE: usize = 8_192;

/// How long the end of the service waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Where one line per answer goes.
///
/// A reader that is slow or gone costs lines, never time: lines are written
/// by a thread of their own, and those that find the queue full are dropped.
#[derive(Clone)]
pub struct AccessLog {
    queue: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

enum Entry {
    Line(String),
    /// Everything before this is written; say so.
    Flush(SyncSender<()>),
}

impl AccessLog {
    /// To stderr.
    pub fn stderr() -> Self {
        Self::to(io::stderr())
    }

    /// To `sink`.
    pub fn to(sink: impl Write + Send + 'static) -> Self {
        let (queue, lines) = mpsc::sync_channel(QUEUE);
        let dropped = Arc::default();
        let counted = Arc::clone(&dropped);
        thread::spawn(move || write_lines(&lines, sink, &counted));
        Self { queue, dropped }
    }

    /// Hands `line` over to be written.
    pub(crate) fn line(&self, line: String) {
        // A sink that failed is not worth counting: there is nobody to tell.
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Entry::Line(line)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits a moment for what was handed over.
    pub(crate) fn flush(&self) {
        let (written, done) = mpsc::sync_channel(1);
        if self.queue.try_send(Entry::Flush(written)).is_ok() {
            // Late lines are not worth holding up the end.
            let _ = done.recv_timeout(LAST_LINES);
        }
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessLog")
    }
}

fn write_lines(entries: &Receiver<Entry>, mut sink: impl Write, dropped: &AtomicU64) {
    let mut block = Vec::new();
    while let Ok(first) = entries.recv() {
        let mut waiting = Vec::new();
        // Whatever has gathered meanwhile goes out in one write.
        for entry in std::iter::once(first).chain(entries.try_iter()).take(QUEUE) {
            match entry {
                Entry::Line(line) => {
                    block.extend_from_slice(line.as_bytes());
                    block.push(b'\n');
                }
                Entry::Flush(done) => waiting.push(done),
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            block.extend_from_slice(format!("({lost} lines were dropped)\n").as_bytes());
        }
        if sink.write_all(&block).and_then(|()| sink.flush()).is_err() {
            return;
        }
        block.clear();
        for done in waiting {
            // Whoever asked may have stopped waiting.
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_in_order() {
        let sink = Shared::default();
        let log = AccessLog::to(sink.clone());
        for number in 0..1_000 {
            log.line(number.to_string());
        }
        log.flush();
        let written = sink.0.lock().expect("no panic").clone();
        let written = String::from_utf8(written).expect("text");
        let expected = (0..1_000).map(|number| number.to_string());
        assert!(written.lines().map(str::to_owned).eq(expected), "{written}");
    }

    #[test]
    fn a_reader_that_does_not_read_holds_nobody() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let log = AccessLog::to(writer);
        for _ in 0..2 * QUEUE {
            log.line("x".repeat(100));
        }
        drop(reader);
    }
}
