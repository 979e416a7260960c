//! The policies in a browser: what the playground's page asks, as JSON in and JSON out.
//!
//! [`judge`] says what the policy decides about a request, [`Replay`] what leaves of a response as it comes, and what is
//! held back. `page` holds what people see, `examples` what they start from; `scripts/playground` joins all of it into
//! one file. Nothing leaves the browser: the page may fetch nothing.

mod examples;
mod judge;
mod replay;
mod table;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub mod window;

pub use examples::examples;
pub use judge::judge;
pub use replay::Replay;
pub use table::Table;
