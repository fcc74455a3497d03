//! The event log within one observation: opened and measured once.

use om_model::envelope::LogPosition;
use om_store::RuntimeLayout;

use crate::cursor::StartPoint;
use crate::error::ObserveError;
use crate::log::{EventLog, LinePosition, LogScan, Prefix, Progress, Recognition};

/// The opened log, and what is known about it.
pub(crate) struct Session {
    pub(crate) log: EventLog,
    pub(crate) scan: LogScan,
    /// The position that the log was compared with last, and the outcome.
    compared: Option<(LogPosition, Identity)>,
}

/// Whether a position was taken from this log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Identity {
    /// It was; its byte offset can be used.
    Same,
    /// It was taken from another log.
    Replaced,
    /// It does not say; lines have to be counted.
    Unknown,
}

impl Session {
    /// The session in `slot`, opened now if this is the first call. `known`
    /// then spares reading the old part of the log.
    pub(crate) fn ensure<'a>(
        slot: &'a mut Option<Self>,
        runtime: &RuntimeLayout,
        known: Option<&LogPosition>,
        progress: &mut Progress<'_>,
    ) -> Result<&'a mut Self, ObserveError> {
        let session = match slot.take() {
            Some(session) => session,
            None => Self::open(runtime, known, progress)?,
        };
        Ok(slot.insert(session))
    }

    fn open(
        runtime: &RuntimeLayout,
        known: Option<&LogPosition>,
        progress: &mut Progress<'_>,
    ) -> Result<Self, ObserveError> {
        let root = runtime.dir();
        if !root.is_dir() {
            return Err(ObserveError::RootMissing { path: root });
        }
        let log = EventLog::open(&runtime.events())?;
        let (prefix, compared) = match known {
            None => (Prefix::default(), None),
            Some(position) => {
                let (prefix, identity) = compare(&log, position, progress)?;
                (prefix, Some((position.clone(), identity)))
            }
        };
        Ok(Self {
            scan: log.scan(prefix, progress)?,
            log,
            compared,
        })
    }

    /// Where to start reading for `start`: right there if the byte offset can
    /// be trusted, else at the beginning, to count lines.
    pub(crate) fn entry(
        &mut self,
        start: &StartPoint,
        progress: &mut Progress<'_>,
    ) -> Result<LinePosition, ObserveError> {
        let available = self.scan.line_count;
        if start.offset > available {
            return Err(ObserveError::CursorAhead {
                offset: start.offset,
                available,
            });
        }
        let Some(position) = &start.position else {
            return Ok(LinePosition::default());
        };
        match self.identity(position, progress)? {
            Identity::Same => Ok(LinePosition {
                line: position.line_offset,
                byte_offset: position.byte_offset,
            }),
            Identity::Unknown => Ok(LinePosition::default()),
            Identity::Replaced => Err(ObserveError::LogReplaced),
        }
    }

    fn identity(
        &mut self,
        position: &LogPosition,
        progress: &mut Progress<'_>,
    ) -> Result<Identity, ObserveError> {
        match &self.compared {
            Some((compared, identity)) if compared == position => Ok(*identity),
            _ => {
                let (_, identity) = compare(&self.log, position, progress)?;
                self.compared = Some((position.clone(), identity));
                Ok(identity)
            }
        }
    }
}

/// Compares `log` with `position`; the prefix is empty unless they match.
fn compare(
    log: &EventLog,
    position: &LogPosition,
    progress: &mut Progress<'_>,
) -> Result<(Prefix, Identity), ObserveError> {
    Ok(match log.recognise(position, progress)? {
        Recognition::Same(prefix) => (prefix, Identity::Same),
        Recognition::Replaced => (Prefix::default(), Identity::Replaced),
        Recognition::Unknown => (Prefix::default(), Identity::Unknown),
    })
}
