//! The machine that the figures were measured on.

use std::fs;
use std::path::Path;
use std::thread;

/// One line each: processor, memory, file system, kernel, and how busy it is:
/// figures of a busy machine say little.
pub(super) fn describe(directory: &Path) -> Vec<(&'static str, String)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpu = field(&read("/proc/cpuinfo"), "model name");
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let directory = directory
        .canonicalize()
        .unwrap_or_else(|_| directory.to_owned());
    vec![
        ("processor", format!("{cpu}, {cores} cores")),
        ("memory", memory),
        (
            "file system",
            file_system(&read("/proc/mounts"), &directory),
        ),
        ("load at the start", load(&read("/proc/loadavg"))),
        (
            "kernel",
            format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
        ),
    ]
}

/// The value of the first `name : value` line, `unknown` without one.
fn field(text: &str, name: &str) -> String {
    let value = text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim().to_owned())
    });
    value.unwrap_or_else(|| "unknown".to_owned())
}

/// The average of the last minute in a `/proc/loadavg` text.
fn load(text: &str) -> String {
    let minute = text.split(' ').next().filter(|load| !load.is_empty());
    minute.unwrap_or("unknown").to_owned()
}

/// The type of the file system that `directory` lies on: the deepest mount
/// point above it, the last one mounted there.
fn file_system(mounts: &str, directory: &Path) -> String {
    let mount = |line: &str| {
        let mut columns = line.split(' ').skip(1);
        let point = columns.next()?;
        let kind = columns.next()?;
        let depth = Path::new(point).components().count();
        directory
            .starts_with(point)
            .then(|| (depth, kind.to_owned()))
    };
    let deepest = mounts
        .lines()
        .filter_map(mount)
        .max_by_key(|(depth, _)| *depth);
    deepest.map_or_else(|| "unknown".to_owned(), |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_is_that_of_the_deepest_mount_point() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /home/x tmpfs rw 0 0\n/dev/b /home xfs rw 0 0\n";
        for (directory, kind) in [("/home/x/y", "tmpfs"), ("/home/y", "xfs"), ("/srv", "ext4")] {
            assert_eq!(file_system(mounts, Path::new(directory)), kind);
        }
    }

    #[test]
    fn the_load_is_that_of_the_last_minute() {
        assert_eq!(load("0.42 0.50 0.60 1/100 7\n"), "0.42");
        assert_eq!(load(""), "unknown");
    }

    #[test]
    fn a_field_is_found_by_its_name() {
        assert_eq!(
            field("a\t: 1\nmodel name\t: Fast One\n", "model name"),
            "Fast One"
        );
        assert_eq!(field("", "model name"), "unknown");
    }
}
