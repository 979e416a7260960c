//! Bars for what takes long, on a terminal and nowhere else.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over so many bytes of a file.
pub(super) fn bytes(what: &'static str, length: u64) -> ProgressBar {
    shown(ProgressBar::new(length), what, "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {eta}")
}

/// A bar over so many lines.
pub(super) fn lines(what: &'static str, length: u64) -> ProgressBar {
    shown(ProgressBar::new(length), what, "{msg} {wide_bar} {human_pos}/{human_len} {eta}")
}

/// Something whose end is not known.
pub(super) fn waiting(what: &'static str) -> ProgressBar {
    let bar = shown(ProgressBar::no_length(), what, "{spinner} {msg} {elapsed}");
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn shown(bar: ProgressBar, what: &'static str, template: &str) -> ProgressBar {
    // It draws to stderr, and hides itself where that is no terminal.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style).with_message(what)
}
