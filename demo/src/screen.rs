//! What the demonstration prints: plain where the output is a file, coloured on a terminal.

use std::future::Future;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use graphwarden_stand::Answer;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

/// Columns of text before a line is cut or wrapped.
const WIDTH: usize = 100;

/// A colour of the terminal (ECMA-48, 8.3.117).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tint {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Blue,
}

/// Where everything is printed.
#[derive(Debug)]
pub(crate) struct Screen {
    coloured: bool,
}

impl Screen {
    /// Colours only on a terminal that wants them (no-color.org).
    pub(crate) fn new() -> Self {
        Self {
            coloured: std::io::stdout().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }

    /// The text in a colour.
    pub(crate) fn paint(&self, tint: Tint, text: &str) -> String {
        if !self.coloured {
            return text.to_owned();
        }
        let code = match tint {
            Tint::Bold => "1",
            Tint::Dim => "2",
            Tint::Red => "31",
            Tint::Green => "32",
            Tint::Yellow => "33",
            Tint::Blue => "36",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// A heading with a rule under the text.
    pub(crate) fn heading(&self, text: &str) {
        let rule = "─".repeat(WIDTH.saturating_sub(text.chars().count() + 4));
        println!(
            "\n{} {} {}",
            self.paint(Tint::Dim, "──"),
            self.paint(Tint::Bold, text),
            self.paint(Tint::Dim, &rule)
        );
    }

    /// A sentence that says what follows.
    pub(crate) fn say(&self, text: &str) {
        println!("   {text}");
    }

    /// A remark.
    pub(crate) fn note(&self, text: &str) {
        println!("   {}", self.paint(Tint::Dim, text));
    }

    /// A request as it is sent.
    pub(crate) fn request(&self, who: &str, method: &str, path: &str, body: Option<&Value>) {
        let line = format!("{} {}", self.paint(Tint::Bold, method), path);
        println!("   {} {line}   {}", self.paint(Tint::Blue, "▶"), self.paint(Tint::Dim, who));
        if let Some(body) = body {
            self.block(&body.to_string(), Tint::Dim);
        }
    }

    /// Status and, for errors, what the caller reads.
    pub(crate) fn answer(&self, answer: &Answer, took: Duration) {
        let tint = if answer.status < 400 { Tint::Green } else { Tint::Yellow };
        let status = self.paint(tint, &answer.status.to_string());
        println!(
            "   {} {status}   {}",
            self.paint(Tint::Blue, "◀"),
            self.paint(Tint::Dim, &format!("{:.2} s", took.as_secs_f64()))
        );
        if answer.status >= 400 {
            self.block(&answer.text(), Tint::Dim);
        }
    }

    /// Text in lines of the screen's width, a few of them at most.
    pub(crate) fn block(&self, text: &str, tint: Tint) {
        let lines = wrapped(text, WIDTH - 6);
        for line in lines.iter().take(6) {
            println!("     {}", self.paint(tint, line));
        }
        if lines.len() > 6 {
            self.note("  …");
        }
    }

    /// A name with a value beside it.
    pub(crate) fn field(&self, name: &str, value: &str) {
        println!("     {} {value}", self.paint(Tint::Dim, &format!("{name:<10}")));
    }

    /// Whether a step came out as it should, and as what.
    pub(crate) fn verdict(&self, right: bool, text: &str) {
        let mark = if right { self.paint(Tint::Green, "✔") } else { self.paint(Tint::Red, "✘") };
        println!("   {mark} {text}");
    }

    /// An address with what is there.
    pub(crate) fn address(&self, name: &str, place: &str, what: &str) {
        println!(
            "   {name:<10} {}  {}",
            self.paint(Tint::Blue, &format!("{place:<24}")),
            self.paint(Tint::Dim, what)
        );
    }

    /// Something to copy.
    pub(crate) fn snippet(&self, title: &str, text: &str) {
        println!("\n   {}\n\n{text}\n", self.paint(Tint::Bold, title));
    }

    /// Shows that a part is being started, and then how that went.
    pub(crate) async fn starting<Part>(
        &self,
        name: &str,
        what: &str,
        work: impl Future<Output = Result<Part>>,
    ) -> Result<Part> {
        let began = Instant::now();
        let spinner = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("   {spinner:.cyan} {msg} {elapsed:.dim}") {
            spinner.set_style(style);
        }
        spinner.set_message(format!("{name:<10} {what}"));
        spinner.enable_steady_tick(Duration::from_millis(80));
        let outcome = work.await;
        spinner.finish_and_clear();
        let took = format!("{:.1} s", began.elapsed().as_secs_f64());
        self.verdict(outcome.is_ok(), &format!("{name:<10} {what:<38} {}", self.paint(Tint::Dim, &took)));
        outcome
    }
}

/// Lines of at most so many characters, broken at spaces and behind commas where there are any.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive([' ', ',']) {
        let used = lines.last().map_or(0, |line| line.chars().count());
        if used > 0 && used + word.chars().count() > width {
            lines.push(String::new());
        }
        for character in word.chars() {
            if lines.last().is_some_and(|line| line.chars().count() == width) {
                lines.push(String::new());
            }
            if let Some(line) = lines.last_mut() {
                line.push(character);
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_loses_nothing_and_keeps_the_width() {
        for text in
            ["", "short", "a b c", &"word ".repeat(50), &"x".repeat(250), &format!("a, {} b", "é".repeat(99))]
        {
            let lines = wrapped(text, 40);
            assert_eq!(lines.concat(), *text);
            assert!(lines.iter().all(|line| line.chars().count() <= 40), "{lines:?}");
        }
    }
}
