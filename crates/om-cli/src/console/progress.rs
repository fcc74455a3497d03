//! A progress bar for long replays, on a terminal's stderr only.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A replay shorter than this shows nothing.
const PATIENCE: Duration = Duration::from_millis(400);

/// Shows how far a log has been read once that takes noticeable time.
///
/// Silent unless stderr is a terminal; leaves nothing behind.
pub struct LogProgress {
    started: Instant,
    bar: Option<ProgressBar>,
    terminal: bool,
}

impl Default for LogProgress {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            bar: None,
            terminal: std::io::stderr().is_terminal(),
        }
    }
}

impl LogProgress {
    /// `done` of `total` bytes have been read.
    pub fn update(&mut self, done: u64, total: u64) {
        if !self.terminal || self.started.elapsed() < PATIENCE {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let template = "reading events {bar:30} {bytes}/{total_bytes} {eta}";
            // A template that cannot be parsed falls back to the default bar.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        bar.set_length(total);
        bar.set_position(done);
    }
}

impl Drop for LogProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
