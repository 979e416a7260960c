//! Masking as its users meet it: whole bodies through [`Masker`], in every split.
//!
//! `split` holds the shared ways to feed a body; a new test belongs to the module of its media type,
//! or to `properties` where bodies are generated, or to `captures` where a server recorded them.

mod captures;
mod json;
mod lanes;
mod limits;
mod properties;
mod split;
mod sse;
mod text;
