//! The desk of Graphwarden: the two things that a proxy cannot hold, people's decisions and the record.
//!
//! | module | subject |
//! |---|---|
//! | [`app`] | the application, built without a socket |
//! | [`approvals`] | what a gateway asks, who may answer, when it ends |
//! | [`evidence`] | lines come in, are checked, are durable |
//! | [`log`] | the Merkle log over the lines, its key and its checkpoints |
//! | [`keeping`] | what the desk does for the ledger by itself, every minute |
//! | [`package`] | what an auditor is handed, and its verification |
//! | [`publish`] | checkpoints and lines, to places that others hold |
//! | [`people`] | who decides, and how the desk knows |
//! | [`pages`] | what people see |
//! | [`notify`] | what people are told, where they are |
//! | [`gateway`] | who asks, and how the desk knows |
//! | [`store`] | SQLite, behind one module |
//! | [`contracts`] | the OpenAPI documents |
//! | [`error`] | everything that can go wrong in an answer |
//! | [`conform`] | whether another service in the desk's place is safe |
//! | [`init`] | a first set of files that works |
//! | [`lint`] | what would bite in the YAML around the filter |
//! | [`cli`] | the command line, one file a subcommand |
//! | [`settings`] | what `serve` is told by flags, environment and file |
//! | [`body`], [`prefer`], [`clock`], [`task`] | request bodies, RFC 7240, the time, tasks that are kept running |

pub mod app;
pub mod approvals;
pub mod body;
pub mod cli;
pub mod clock;
pub mod conform;
pub mod contracts;
pub mod error;
pub mod evidence;
pub mod gateway;
pub mod init;
pub mod keeping;
pub mod lint;
pub mod log;
pub mod notify;
pub mod package;
pub mod pages;
pub mod people;
pub mod prefer;
pub mod publish;
pub mod settings;
pub mod store;
pub mod task;
