//! What a script of a workflow uses: variables with their fallbacks, flags.

/// A variable of an input, as the script uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Use<'a> {
    /// `INPUT_…`
    pub(super) variable: &'a str,
    /// What it falls back to when it is empty: the text behind `:-`.
    pub(super) fallback: Option<&'a str>,
}

/// Every use of an `INPUT_…` variable, in the script's order.
pub(super) fn uses(script: &str) -> Vec<Use<'_>> {
    let starts = script.match_indices("INPUT_");
    starts.map(|(at, _)| use_at(&script[at..])).collect()
}

fn use_at(text: &str) -> Use<'_> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    let (variable, rest) = text.split_at(end);
    let fallback = rest.strip_prefix(":-");
    Use {
        variable,
        fallback: fallback
            .and_then(|rest| rest.split_once('}'))
            .map(|(text, _)| text),
    }
}

/// Every `--flag` of the script, without its value.
pub(super) fn flags(script: &str) -> Vec<&str> {
    let words = script.split(|c: char| c.is_whitespace() || "()\"'=".contains(c));
    words.filter(|word| is_flag(word)).collect()
}

/// The flags that a command's page lists, and whether each is required.
pub(super) fn page_flags(page: &str) -> Vec<(&str, bool)> {
    let mut flags: Vec<(&str, bool)> = Vec::new();
    let options = page.lines().skip_while(|line| *line != "Options:").skip(1);
    for line in options.take_while(|line| !line.is_empty()) {
        let names_a_flag = line.trim_start().starts_with('-');
        let name = line.split_whitespace().take(2).find(|word| is_flag(word));
        flags.extend(name.filter(|_| names_a_flag).map(|name| (name, false)));
        // The description may go on below its flag.
        if let Some((_, required)) = flags.last_mut()
            && line.ends_with("[required]")
        {
            *required = true;
        }
    }
    flags
}

fn is_flag(word: &str) -> bool {
    let name = word.strip_prefix("--").unwrap_or_default();
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_with_what_they_fall_back_to() {
        let script = "x \"${INPUT_A:-25}\" \"$INPUT_B\" \"${INPUT_C_D:-}\" ${INPUT_E//,/ }";
        let found: Vec<_> = uses(script)
            .into_iter()
            .map(|used| (used.variable, used.fallback))
            .collect();
        assert_eq!(
            found,
            [
                ("INPUT_A", Some("25")),
                ("INPUT_B", None),
                ("INPUT_C_D", Some("")),
                ("INPUT_E", None),
            ]
        );
    }

    #[test]
    fn flags_are_words_of_their_own() {
        let script = "args+=(--by \"$X\")\nrun --pretty --a-b=c -- \"--- x ---\" a--b";
        assert_eq!(flags(script), ["--by", "--pretty", "--a-b"]);
    }

    #[test]
    fn a_page_tells_the_flags_and_which_are_required() {
        let page = "Run --fast.\n\nOptions:\n      --repo <DIR>   Repository\n                     \
                    [required]\n      --mode <MODE>  What to do [required]\n      --pretty       \
                    Indent\n  -h, --help         Print help\n\nExamples:\n  x --repo . --bogus\n";
        assert_eq!(
            page_flags(page),
            [
                ("--repo", true),
                ("--mode", true),
                ("--pretty", false),
                ("--help", false)
            ]
        );
    }
}
