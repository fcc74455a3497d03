//! Walking over the events behind a cursor (chapter 01 §5.4).

use std::io;
use std::ops::Range;
use std::path::Path;

use om_store::Line;

use crate::error::{EventsError, ObserveError};
use crate::event::LineError;
use crate::log::{LinePosition, Progress};
use crate::session::Session;

/// How far a walk has come.
pub(crate) struct Walk {
    /// Behind the last visited line, or the start if there was none.
    pub(crate) at: LinePosition,
    /// Lines visited.
    pub(crate) count: u64,
    /// Bytes of the last visited line.
    pub(crate) last: Option<Range<u64>>,
}

/// Why a visitor stops a walk.
pub(crate) enum VisitError {
    /// The line is not an event.
    Line(LineError),
    /// The event could not be handed on.
    Output(io::Error),
}

impl From<LineError> for VisitError {
    fn from(error: LineError) -> Self {
        Self::Line(error)
    }
}

impl VisitError {
    fn at(self, line: u64, path: &Path) -> ObserveError {
        match self {
            Self::Line(error) => ObserveError::Line {
                path: path.to_owned(),
                line,
                error,
            },
            Self::Output(cause) => ObserveError::Output(cause),
        }
    }
}

impl Walk {
    /// Visits the lines behind line `offset`, at most `limit` (0: all).
    /// Reading starts at `entry`, which is not behind that line. Empty lines
    /// are passed over.
    pub(crate) fn over(
        session: &Session,
        entry: LinePosition,
        offset: u64,
        limit: u64,
        progress: &mut Progress<'_>,
        mut visit: impl FnMut(&Line<'_>) -> Result<(), VisitError>,
    ) -> Result<Self, EventsError> {
        let log = &session.log;
        let mut lines = log.lines(&session.scan, entry, progress);
        let mut walk = Self {
            at: entry,
            count: 0,
            last: None,
        };
        while limit == 0 || walk.count < limit {
            let line = lines
                .next_line()
                .map_err(|cause| walk.failed(log.unreadable(cause)))?;
            let Some(line) = line else { break };
            if line.number <= offset {
                walk.at = behind(&line);
            } else if !line.bytes.is_empty() {
                visit(&line).map_err(|error| walk.failed(error.at(line.number, log.path())))?;
                walk.at = behind(&line);
                walk.count += 1;
                walk.last = Some(line.start..line.end - 1);
            }
        }
        Ok(walk)
    }

    /// `error`, after the lines that were visited.
    pub(crate) fn failed(&self, error: ObserveError) -> EventsError {
        EventsError {
            error,
            events_ingested: self.count,
        }
    }
}

fn behind(line: &Line<'_>) -> LinePosition {
    LinePosition {
        line: line.number,
        byte_offset: line.end,
    }
}
