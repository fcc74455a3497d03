//! Where the lines of an event log begin.

use std::sync::Arc;

use om_model::envelope::LogPosition;
use om_store::RuntimeLayout;
use om_transport::ObserveError;
use om_transport::event::LineError;
use om_transport::log::{EventLog, LinePosition, LogScan, Prefix, Progress, Recognition};

use super::EventsAfter;
use super::identity::Sight;

/// Every so many lines the index knows the byte offset.
const STRIDE: u64 = 64;

/// How often a log that changes while it is looked at is looked at again.
const ATTEMPTS: usize = 3;

/// The lines of a log, and the file that they were found in.
pub(super) struct Index {
    sight: Sight,
    pub(super) lines: Arc<Lines>,
}

/// The extent of a log, and where its lines begin.
pub(super) struct Lines {
    scan: LogScan,
    /// At the end of the last complete line.
    position: LogPosition,
    /// Bytes before line `n * STRIDE + 1`, by `n`.
    marks: Vec<u64>,
}

impl Index {
    /// The log of `runtime`, opened, and its index, continued from an earlier
    /// one if that is possible.
    pub(super) fn of(
        mut earlier: Option<Self>,
        runtime: &RuntimeLayout,
    ) -> Result<(Self, EventLog), ObserveError> {
        let path = runtime.events();
        let mut attempt = 1;
        loop {
            let sight = Sight::of(&path);
            if sight == Sight::Nothing && !runtime.dir().is_dir() {
                return Err(ObserveError::RootMissing {
                    path: runtime.dir(),
                });
            }
            let log = EventLog::open(&path)?;
            let index = Self::at(sight, earlier, &log)?;
            // What was opened is what was looked at, or the log is changing
            // right now: then any state of this moment will do.
            if attempt == ATTEMPTS || same_file(&sight, &Sight::of(&path)) {
                return Ok((index, log));
            }
            earlier = None;
            attempt += 1;
        }
    }

    fn at(sight: Sight, earlier: Option<Self>, log: &EventLog) -> Result<Self, ObserveError> {
        let known = match earlier {
            Some(earlier) if earlier.sight.still_holds(&sight) => return Ok(earlier),
            Some(earlier) if may_be_continued(&earlier.sight, &sight) => Some(earlier.lines),
            _ => None,
        };
        let lines = Lines::of(known.as_deref(), log)?;
        Ok(Self {
            sight,
            lines: Arc::new(lines),
        })
    }
}

fn same_file(before: &Sight, after: &Sight) -> bool {
    match (before, after) {
        (Sight::File { identity: a, .. }, Sight::File { identity: b, .. }) => a == b,
        _ => false,
    }
}

/// Whether a log that was seen may only have been appended to. Its first and
/// last bytes have to confirm that.
fn may_be_continued(earlier: &Sight, now: &Sight) -> bool {
    match (earlier, now) {
        (Sight::File { identity: a, .. }, Sight::File { identity: b, .. }) => {
            a == b || b.has_grown_from(a)
        }
        _ => false,
    }
}

impl Lines {
    fn of(known: Option<&Self>, log: &EventLog) -> Result<Self, ObserveError> {
        let mut silent = Progress::silent();
        let recognised = match known {
            Some(known) => match log.recognise(&known.position, &mut silent)? {
                Recognition::Same(prefix) => Some((prefix, known.marks.clone())),
                Recognition::Replaced | Recognition::Unknown => None,
            },
            None => None,
        };
        let (prefix, marks) = recognised.unwrap_or_else(|| (Prefix::default(), vec![0]));
        let scan = log.scan(prefix, &mut silent)?;
        let end = LinePosition {
            line: scan.line_count,
            byte_offset: scan.length,
        };
        let position = log.position(&scan, end)?;
        let mut lines = Self {
            scan,
            position,
            marks,
        };
        lines.extend_marks(log)?;
        Ok(lines)
    }

    fn extend_marks(&mut self, log: &EventLog) -> Result<(), ObserveError> {
        let mut silent = Progress::silent();
        let start = self.before(u64::MAX);
        let mut lines = log.lines(&self.scan, start, &mut silent);
        let unreadable = |cause| ObserveError::Unreadable {
            path: log.path().to_owned(),
            cause,
        };
        while let Some(line) = lines.next_line().map_err(unreadable)? {
            if line.number % STRIDE == 0 {
                self.marks.push(line.end);
            }
        }
        Ok(())
    }

    /// The last known line end that is not behind line `line`.
    fn before(&self, line: u64) -> LinePosition {
        let last = self.marks.len().saturating_sub(1);
        let wanted = usize::try_from(line / STRIDE).unwrap_or(usize::MAX);
        let mark = wanted.min(last);
        LinePosition {
            line: mark as u64 * STRIDE,
            byte_offset: self.marks.get(mark).copied().unwrap_or(0),
        }
    }

    /// Complete lines.
    pub(super) fn line_count(&self) -> u64 {
        self.scan.line_count
    }

    /// For who reads the log next.
    pub(super) fn position(&self) -> LogPosition {
        self.position.clone()
    }

    /// Visits the events that `after` asks for, until `visit` has had enough
    /// (`false`). Empty lines are passed over. Returns how many lines are
    /// consumed then.
    pub(super) fn walk(
        &self,
        log: &EventLog,
        after: &EventsAfter,
        mut visit: impl FnMut(&[u8], u64) -> Result<bool, LineError>,
    ) -> Result<u64, ObserveError> {
        if after.cursor > self.line_count() {
            return Err(ObserveError::CursorAhead {
                offset: after.cursor,
                available: self.line_count(),
            });
        }
        let mut silent = Progress::silent();
        let mut lines = log.lines(&self.scan, self.before(after.cursor), &mut silent);
        let (mut consumed, mut visited) = (after.cursor, 0);
        while after.max_events == 0 || visited < after.max_events {
            let line = lines
                .next_line()
                .map_err(|cause| ObserveError::Unreadable {
                    path: log.path().to_owned(),
                    cause,
                })?;
            let Some(line) = line else { break };
            if line.number <= after.cursor || line.bytes.is_empty() {
                continue;
            }
            let more = visit(line.bytes, line.number).map_err(|error| ObserveError::Line {
                path: log.path().to_owned(),
                line: line.number,
                error,
            })?;
            (consumed, visited) = (line.number, visited + 1);
            if !more {
                break;
            }
        }
        Ok(consumed)
    }
}
