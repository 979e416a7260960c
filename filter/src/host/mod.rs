//! The only code that knows proxy-wasm: it translates callbacks into events, and effects into host calls.
//!
//! It looks at no claim, no operation and no body. What it keeps to, because the host does not forgive:
//!
//! - bytes, never strings: one header byte above 0x7F in a string call ends the VM;
//! - header maps are touched only while their callback, or the hold that it began, lasts; resuming comes last;
//! - every callout is made by the root, so that its answer arrives whatever became of the stream;
//! - no `RefCell` is borrowed across a host call, and one that is borrowed already means refusal, not panic.

mod ids;
mod root;
mod shared;
mod stopwatch;
mod stream;
mod wire;

use proxy_wasm::types::LogLevel;

use root::RootHost;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|id| Box::new(RootHost::new(id)));
}}
