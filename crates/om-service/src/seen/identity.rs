//! Is a file still what it was?

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Two changes of a file within this time may leave the same times behind:
/// systems keep them by ticks of up to 10 ms.
const TICK: Duration = Duration::from_millis(100);

/// The same on file systems that keep whole seconds, or pairs of them.
const COARSE_TICK: Duration = Duration::from_millis(2_100);

/// Which file, in which state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
    pub(super) size: u64,
    /// Seconds and nanoseconds since the epoch.
    modified: (i64, i64),
    /// The same of the last change of content, name or mode: nobody can set
    /// it back.
    changed: (i64, i64),
}

impl FileIdentity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether a change after `now` would show.
    fn is_settled(&self, now: SystemTime) -> bool {
        let newest = self.modified.max(self.changed);
        let is_coarse = self.modified.1 == 0 && self.changed.1 == 0;
        let tick = if is_coarse { COARSE_TICK } else { TICK };
        let Some(newest) = time(newest) else {
            return false;
        };
        newest + tick <= now
    }

    /// Whether `earlier` may have become this by appending.
    pub(super) fn has_grown_from(&self, earlier: &Self) -> bool {
        (self.device, self.inode) == (earlier.device, earlier.inode) && self.size > earlier.size
    }
}

/// `None` for times that make no sense; such files never settle.
fn time((seconds, nanoseconds): (i64, i64)) -> Option<SystemTime> {
    let since = Duration::new(
        u64::try_from(seconds).ok()?,
        u32::try_from(nanoseconds).ok()?,
    );
    UNIX_EPOCH.checked_add(since)
}

/// One look at a path, before anything is read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// No regular file.
    Nothing,
    /// A regular file, links followed.
    File {
        identity: FileIdentity,
        /// Whether a later change would show.
        settled: bool,
    },
    /// It cannot be told.
    Unclear,
}

impl Sight {
    pub(super) fn of(path: &Path) -> Self {
        // Before the look: a later change then has a later time.
        let now = SystemTime::now();
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => {
                let identity = FileIdentity::of(&metadata);
                Self::File {
                    identity,
                    settled: identity.is_settled(now),
                }
            }
            Ok(_) => Self::Nothing,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Self::Nothing
            }
            Err(_) => Self::Unclear,
        }
    }

    /// Whether what was read after this look is still true at a later one.
    pub(super) fn still_holds(&self, later: &Self) -> bool {
        match (self, later) {
            (Self::Nothing, Self::Nothing) => true,
            (
                Self::File {
                    identity: before,
                    settled,
                },
                Self::File { identity: now, .. },
            ) => *settled && before == now,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(modified: (i64, i64), changed: (i64, i64)) -> FileIdentity {
        FileIdentity {
            device: 1,
            inode: 2,
            size: 3,
            modified,
            changed,
        }
    }

    #[test]
    fn a_file_settles_a_tick_after_its_last_change() {
        let at = |seconds, milliseconds| {
            UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(milliseconds)
        };
        let fine = identity((50, 5), (100, 1_000_000));
        assert!(!fine.is_settled(at(100, 50)));
        assert!(fine.is_settled(at(100, 101)));
        let coarse = identity((100, 0), (100, 0));
        assert!(!coarse.is_settled(at(102, 0)));
        assert!(coarse.is_settled(at(102, 100)));
        let set_ahead = identity((200, 7), (100, 1));
        assert!(!set_ahead.is_settled(at(150, 0)));
        assert!(!identity((0, 1), (-1, 0)).is_settled(at(0, 0)));
    }

    #[test]
    fn what_was_read_holds_while_the_settled_file_is_the_same() {
        let file = |settled, size| Sight::File {
            identity: FileIdentity {
                size,
                ..identity((1, 1), (1, 1))
            },
            settled,
        };
        for (before, later, holds) in [
            (file(true, 1), file(true, 1), true),
            (file(false, 1), file(true, 1), false),
            (file(true, 1), file(true, 2), false),
            (file(true, 1), Sight::Nothing, false),
            (Sight::Nothing, Sight::Nothing, true),
            (Sight::Nothing, file(true, 1), false),
            (Sight::Unclear, Sight::Unclear, false),
        ] {
            assert_eq!(before.still_holds(&later), holds, "{before:?} {later:?}");
        }
    }
}
