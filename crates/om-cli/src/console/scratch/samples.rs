//! Recorded loop runs, moved to the present.

use std::path::Path;

use include_dir::{Dir, DirEntry, include_dir};
use om_model::Timestamp;

use crate::error::CliError;

/// Eight repositories as the runtime left them.
static SAMPLES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../tests/fixtures/runtime");

/// Writes the recorded repository `name` into `repo`, its times moved so that
/// the last event lies `age` seconds before `now`, and the id of its loop
/// changed from the first to the second of `ids`.
pub(in crate::console) fn build(
    name: &str,
    ids: (&str, &str),
    age: i64,
    repo: &Path,
    now: Timestamp,
) -> Result<(), CliError> {
    let sample = SAMPLES
        .get_dir(name)
        .ok_or_else(|| CliError::new(format!("no recorded sample {name}")))?;
    let files = files_of(sample);
    let latest = files
        .iter()
        .flat_map(|(_, content)| timestamps(content))
        .max();
    let latest = latest.map_or(0, |(at, _)| at.epoch_seconds());
    let by = now.epoch_seconds() - age - latest;
    for (path, content) in files {
        let relative = path.strip_prefix(name).unwrap_or(path).to_string_lossy();
        let target = repo.join(renamed(&relative, ids));
        let folder = target.parent().unwrap_or(repo);
        std::fs::create_dir_all(folder).map_err(|error| CliError::at(folder, error))?;
        std::fs::write(&target, renamed(&shifted(content, by), ids))
            .map_err(|error| CliError::at(&target, error))?;
    }
    Ok(())
}

/// `text` with another id for its loop.
fn renamed(text: &str, (from, to): (&str, &str)) -> String {
    if from == to {
        return text.to_owned();
    }
    text.replace(from, to)
}

fn files_of<'a>(folder: &'a Dir<'a>) -> Vec<(&'a Path, &'a str)> {
    folder
        .entries()
        .iter()
        .flat_map(|entry| match entry {
            DirEntry::Dir(inner) => files_of(inner),
            DirEntry::File(file) => file
                .contents_utf8()
                .map(|content| vec![(file.path(), content)])
                .unwrap_or_default(),
        })
        .collect()
}

/// Every timestamp in `content` with its byte offset, latest comparable first.
fn timestamps(content: &str) -> Vec<(Timestamp, usize)> {
    const LENGTH: usize = "2026-01-01T00:00:00Z".len();
    content
        .match_indices('T')
        .filter_map(|(at, _)| {
            let start = at.checked_sub("2026-01-01".len())?;
            let candidate = content.get(start..start + LENGTH)?;
            let written = Timestamp::parse(candidate).filter(|t| t.to_string() == candidate)?;
            Some((written, start))
        })
        .collect()
}

/// `content` with every timestamp moved by `by` seconds.
fn shifted(content: &str, by: i64) -> String {
    let mut out = String::with_capacity(content.len());
    let mut copied = 0;
    for (at, start) in timestamps(content) {
        out.push_str(&content[copied..start]);
        let moved = Timestamp::from_epoch_seconds(at.epoch_seconds() + by).to_string();
        copied = start + moved.len();
        out.push_str(&moved);
    }
    out.push_str(&content[copied..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_moved_and_nothing_else() {
        let content = r#"{"at":"2026-11-20T07:36:17Z","run":"x2026-11-20T07:36:17Z","n":"T20"}"#;
        let moved = shifted(content, 3_600);
        assert_eq!(moved, content.replace("T07:", "T08:"));
        assert_eq!(shifted("no time at all", 1), "no time at all");
    }
}
