//! Operations, times and payloads in words for people.

use crate::approvals::{Kind, OperationView};

/// What an operation does, in words: `Run the graph billing`.
pub(super) fn operation(view: &OperationView) -> String {
    let target = |what: &str, name: Option<&str>| match name {
        Some(name) => format!("the {what} {name}"),
        None => format!("a {what}"),
    };
    let graph = target("graph", view.text("graph").or(view.text("assistant")));
    let assistant = target("assistant", view.text("assistant").or(view.text("graph")));
    match view.operation.as_str() {
        "threads.create_run" => format!("Run {graph}"),
        "threads.create" => "Create a thread".to_owned(),
        "threads.read" => "Read a thread".to_owned(),
        "threads.search" => "Search threads".to_owned(),
        "threads.update" => "Change a thread".to_owned(),
        "threads.delete" => "Delete a thread".to_owned(),
        "assistants.create" => format!("Create an assistant for {graph}"),
        "assistants.read" => format!("Read {assistant}"),
        "assistants.search" => "Search assistants".to_owned(),
        "assistants.update" => format!("Change {assistant}"),
        "assistants.delete" => format!("Delete {assistant}"),
        "crons.create" => format!("Schedule {graph}"),
        "crons.read" => "Read a schedule".to_owned(),
        "crons.search" => "Search schedules".to_owned(),
        "crons.update" => "Change a schedule".to_owned(),
        "crons.delete" => "Delete a schedule".to_owned(),
        "store.get" => "Read from the store".to_owned(),
        "store.put" => "Write to the store".to_owned(),
        "store.delete" => "Delete from the store".to_owned(),
        "store.search" => "Search the store".to_owned(),
        "store.list_namespaces" => "List the store's namespaces".to_owned(),
        name => match name.split_once('.') {
            Some((resource, action)) => {
                sentence_start(&format!("{} ({})", action.replace('_', " "), resource.replace('_', " ")))
            }
            None => name.to_owned(),
        },
    }
}

/// All operations of a request in words, each once: `Run the graph billing, and 2 more`.
pub(crate) fn operations(views: &[OperationView]) -> String {
    let mut words: Vec<String> = Vec::new();
    for view in views {
        let text = operation(view);
        if !words.contains(&text) {
            words.push(text);
        }
    }
    match words.len() {
        0 => "Do nothing".to_owned(),
        1 | 2 => words.join(" and "),
        more => format!("{}, and {} more", words[0], more - 1),
    }
}

/// What kind an approval is, for a badge; nothing for the usual one.
pub(super) const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Request => "",
        Kind::Standing => "standing grant",
        Kind::BreakGlass => "break-glass",
    }
}

/// Every kind's name.
pub(super) const fn kind_named(of: Kind) -> &'static str {
    match of {
        Kind::Request => "one request",
        Kind::Standing | Kind::BreakGlass => kind(of),
    }
}

/// A fragment as a sentence: a capital at the start, unless that is a file's name, and a full stop at the end.
pub(super) fn sentence(text: &str) -> String {
    let first = text.split(' ').next().unwrap_or_default();
    let names_a_file = first.trim_end_matches([',', ':']).contains(['.', '/', '_']);
    let mut text = if names_a_file { text.to_owned() } else { sentence_start(text) };
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

fn sentence_start(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A span of milliseconds in words, coarse: `12 min`.
pub(super) fn span(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) / 1_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 if seconds % 3_600 < 60 => format!("{} h", seconds / 3_600),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// A time for reading, in UTC: `22 Nov 2026, 14:05:09 UTC`.
pub(super) fn time(milliseconds: i64) -> String {
    use time::OffsetDateTime;
    use time::macros::format_description;
    let format =
        format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute]:[second] UTC");
    OffsetDateTime::from_unix_timestamp(milliseconds.div_euclid(1_000))
        .ok()
        .and_then(|at| at.format(format).ok())
        .unwrap_or_default()
}

/// JSON with line breaks and indentation, member order and every character of the values kept. Works on text
/// that was cut as well. What is no JSON comes back as it is.
pub(super) fn pretty(text: &str) -> String {
    let trimmed = text.trim_start();
    if !trimmed.starts_with(['{', '[']) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let mut letters = trimmed.chars().peekable();
    while let Some(letter) = letters.next() {
        if in_string {
            out.push(letter);
            match letter {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match letter {
            '"' => {
                in_string = true;
                out.push(letter);
            }
            '{' | '[' => {
                out.push(letter);
                while letters.peek().is_some_and(|next| next.is_ascii_whitespace()) {
                    letters.next();
                }
                if letters.peek().is_some_and(|next| matches!(next, '}' | ']')) {
                    out.extend(letters.next());
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(letter);
            }
            ',' => {
                out.push(letter);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            letter if letter.is_ascii_whitespace() => {}
            letter => out.push(letter),
        }
    }
    out
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    // Deep nesting is not worth a screen's width of blanks.
    for _ in 0..depth.min(32) {
        out.push_str("  ");
    }
}

/// A piece of a payload: text, and whether it stands for a masked value such as `[EMAIL]`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) masked: bool,
}

/// Splits a payload at its masks, so that a page can show them.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut plain = String::new();
    while let Some(start) = rest.find('[') {
        let (before, from) = rest.split_at(start);
        plain.push_str(before);
        let end = from.find(']').filter(|end| {
            let inner = &from[1..*end];
            (2..=40).contains(&inner.len())
                && inner.starts_with(|first: char| first.is_ascii_uppercase())
                && inner
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"_ -".contains(&byte))
        });
        match end {
            Some(end) => {
                if !plain.is_empty() {
                    pieces.push(Piece { text: std::mem::take(&mut plain), masked: false });
                }
                let (mask, after) = from.split_at(end + 1);
                pieces.push(Piece { text: mask.to_owned(), masked: true });
                rest = after;
            }
            None => {
                plain.push('[');
                rest = &from[1..];
            }
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece { text: plain, masked: false });
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn view(operation: &str, more: serde_json::Value) -> OperationView {
        let serde_json::Value::Object(more) = more else { panic!() };
        OperationView { operation: operation.into(), class: String::new(), more }
    }

    #[test]
    fn operations_read_as_words() {
        let run = view("threads.create_run", json!({"graph": "billing"}));
        assert_eq!(operation(&run), "Run the graph billing");
        assert_eq!(operation(&view("widgets.spin_round", json!({}))), "Spin round (widgets)");
        let put = view("store.put", json!({}));
        assert_eq!(operations(&[run.clone(), run.clone()]), "Run the graph billing");
        assert_eq!(operations(&[run.clone(), put.clone()]), "Run the graph billing and Write to the store");
        let third = view("threads.create", json!({}));
        assert_eq!(operations(&[run, put, third]), "Run the graph billing, and 2 more");
    }

    #[test]
    fn pretty_keeps_every_value_and_their_order() {
        let text = r#"{"z":"a, {b}: \"[c]\"","a":[1,{"x":[]}],"e":{}}"#;
        let shown = pretty(text);
        assert_eq!(
            shown,
            "{\n  \"z\": \"a, {b}: \\\"[c]\\\"\",\n  \"a\": [\n    1,\n    {\n      \"x\": []\n    }\n  ],\n  \"e\": {}\n}"
        );
        let (one, two): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(text).unwrap(), serde_json::from_str(&shown).unwrap());
        assert_eq!(one, two);
    }

    #[test]
    fn pretty_takes_what_was_cut_and_what_is_no_json() {
        assert_eq!(pretty(r#"{"a":"b"#), "{\n  \"a\": \"b");
        assert_eq!(pretty("plain, text: {x}"), "plain, text: {x}");
        assert_eq!(pretty(""), "");
    }

    #[test]
    fn masks_are_told_from_arrays() {
        let found = pieces(r#"["a",[1],"[EMAIL] and [US_SSN]",[X]"#);
        let masks: Vec<_> =
            found.iter().filter(|piece| piece.masked).map(|piece| piece.text.as_str()).collect();
        assert_eq!(masks, ["[EMAIL]", "[US_SSN]"]);
        let whole: String = found.iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(whole, r#"["a",[1],"[EMAIL] and [US_SSN]",[X]"#);
    }

    #[test]
    fn spans_and_times_read_as_words() {
        assert_eq!(span(59_999), "59 s");
        assert_eq!(span(61_000), "1 min");
        assert_eq!(span(3_660_000), "1 h 1 min");
        assert_eq!(span(3_600_000), "1 h");
        assert_eq!(span(90_000_000), "1 d 1 h");
        assert_eq!(span(-5), "0 s");
        assert_eq!(time(0), "1 Jan 1970, 00:00:00 UTC");
    }
}
