//! Colours and widths, decided once from the environment.

use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};
use serde_json::Value;

/// How to draw for one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether to emit colours.
    pub color: bool,
    /// Whether symbols beyond ASCII may be used.
    pub unicode: bool,
    /// Columns.
    pub width: usize,
}

/// What a piece of text means; the look decides how it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// Somebody should look.
    Warning,
    /// Somebody must look now.
    Bad,
    /// Headings.
    Strong,
    /// Secondary text.
    Faint,
}

impl Look {
    /// No colours, ASCII only, 80 columns: files and tests.
    pub const PLAIN: Self = Self {
        color: false,
        unicode: false,
        width: 80,
    };

    /// The look of standard output, by terminal, `NO_COLOR`,
    /// `CLICOLOR_FORCE`, locale and width.
    pub fn stdout() -> Self {
        let color = anstream::AutoStream::choice(&std::io::stdout());
        let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
        Self {
            color: color != anstream::ColorChoice::Never,
            unicode: locale_is_utf8(),
            width: width.clamp(40, 120),
        }
    }

    /// `text` drawn in `tone`.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let style = match tone {
            Tone::Good => Style::new().fg_color(Some(AnsiColor::Green.into())),
            Tone::Warning => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
            Tone::Bad => Style::new().fg_color(Some(AnsiColor::Red.into())).bold(),
            Tone::Strong => Style::new().bold(),
            Tone::Faint => Style::new().dimmed(),
        };
        format!("{style}{text}{style:#}")
    }

    /// A one-column mark for `tone`.
    pub fn mark(self, tone: Tone) -> &'static str {
        match (tone, self.unicode) {
            (Tone::Good, true) => "●",
            (Tone::Warning, true) => "▲",
            (Tone::Bad, true) => "✖",
            (Tone::Good, false) => "+",
            (Tone::Warning, false) => "!",
            (Tone::Bad, false) => "x",
            (Tone::Strong | Tone::Faint, _) => " ",
        }
    }
}

/// Rewrites control characters, and those that reorder text, in every string
/// of `value` as escapes, so that printing it cannot drive a terminal.
pub fn escape_controls(value: &mut Value) {
    match value {
        Value::String(text) if text.contains(is_dangerous) => *text = printable(text),
        Value::Array(items) => items.iter_mut().for_each(escape_controls),
        Value::Object(members) => members.values_mut().for_each(escape_controls),
        _ => {}
    }
}

/// `text` with such characters as escapes.
pub fn printable(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, c| {
            if is_dangerous(c) {
                out.extend(c.escape_unicode());
            } else {
                out.push(c);
            }
            out
        })
}

fn is_dangerous(c: char) -> bool {
    let reorders =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || reorders || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether standard output is a terminal, so that a page makes sense.
pub fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// The locale's character set, by the variables in order of precedence.
fn locale_is_utf8() -> bool {
    let name = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    name.is_some_and(|name| {
        let name = name.to_ascii_lowercase();
        name.ends_with("utf-8") || name.ends_with("utf8")
    })
}
