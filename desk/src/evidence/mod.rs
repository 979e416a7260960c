//! Evidence: lines come in, are checked, and are durable before anyone is told so.

mod api;
mod line;
mod writer;

pub use api::router;
pub use line::{CLASSES, NewLine, strictest};
pub use writer::Writer;
