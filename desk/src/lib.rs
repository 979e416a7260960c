//! The desk of Graphwarden: the two things that a proxy cannot hold, people's decisions and the record.
//!
//! | module | subject |
//! |---|---|
//! | [`cli`] | the command line, one file a subcommand |
//! | [`settings`] | what `serve` is told by flags, environment and file |

pub mod cli;
pub mod settings;
