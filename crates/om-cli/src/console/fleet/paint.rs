//! How pages about a fleet are laid out.

use std::fmt::Write as _;

use om_model::{Timestamp, json};
use serde_json::Value;

use crate::console::style::{Look, Tone};
use crate::console::words;

/// Width of the label column.
const LABEL: usize = 12;

/// Text under construction.
pub struct Paint {
    /// How to draw.
    pub look: Look,
    /// What is drawn so far.
    pub out: String,
}

impl Paint {
    /// An empty page.
    pub fn new(look: Look) -> Self {
        Self {
            look,
            out: String::new(),
        }
    }

    /// One line as it is: nothing is wrapped, so that a command can be copied.
    pub fn line(&mut self, text: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "{}", text.trim_end());
    }

    /// An empty line, and a heading.
    pub fn heading(&mut self, text: &str) {
        let heading = self.look.paint(Tone::Strong, text);
        let _ = writeln!(self.out, "\n{heading}");
    }

    /// A block with a label; continuation lines are aligned, long ones wrapped.
    pub fn block(&mut self, label: &str, lines: &[(Tone, String)]) {
        let room = self.look.width.saturating_sub(LABEL).max(20);
        let mut label = label;
        for (tone, text) in lines {
            for line in textwrap::wrap(text, plain(room)) {
                let name = self.look.paint(Tone::Faint, &format!("{label:<LABEL$}"));
                let line = self.toned(*tone, &line);
                self.line(&format!("{name}{line}"));
                label = "";
            }
        }
    }

    /// Wrapped text behind `indent` columns.
    pub fn wrapped(&mut self, indent: usize, tone: Tone, text: &str) {
        let room = self.look.width.saturating_sub(indent).max(20);
        for line in textwrap::wrap(text, plain(room)) {
            let line = self.toned(tone, &line);
            self.line(&format!("{}{line}", " ".repeat(indent)));
        }
    }

    /// `text`; good news is plain, so that the rest stands out.
    fn toned(&self, tone: Tone, text: &str) -> String {
        match tone {
            Tone::Good => text.to_owned(),
            tone => self.look.paint(tone, text),
        }
    }

    /// `text` cut to `columns`.
    pub fn cut(&self, text: &str, columns: usize) -> String {
        if text.chars().count() <= columns {
            return text.to_owned();
        }
        let dots = if self.look.unicode { "…" } else { "..." };
        let kept = columns.saturating_sub(dots.chars().count());
        text.chars().take(kept).chain(dots.chars()).collect()
    }
}

fn plain<'a>(room: usize) -> textwrap::Options<'a> {
    textwrap::Options::new(room)
        .break_words(false)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
}

/// How a health or an outcome is drawn.
pub fn tone_of(status: &str) -> Tone {
    match status {
        "healthy" | "success" | "executed" => Tone::Good,
        "critical" | "failed" => Tone::Bad,
        "skipped" => Tone::Faint,
        _ => Tone::Warning,
    }
}

/// How long before `now` the time in `at` lies; `otherwise` if it is none.
pub fn ago(at: Option<&Value>, now: Timestamp, otherwise: &str) -> String {
    let moment = json::present(at).map(json::text);
    match moment.as_deref().and_then(Timestamp::parse) {
        Some(moment) => format!("{} ago", words::duration(now.seconds_since(moment))),
        None => otherwise.to_owned(),
    }
}

/// A member as text; empty if it is not there.
pub fn member(value: &Value, name: &str) -> String {
    json::present(value.get(name))
        .map(json::text)
        .unwrap_or_default()
}

/// The items of a member that is an array.
pub fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Codes in words, each once.
pub fn meanings<'a>(codes: impl IntoIterator<Item = &'a str>) -> String {
    let mut texts: Vec<&str> = Vec::new();
    for code in codes {
        let text = words::fleet::meaning(code);
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts.join("; ")
}
