//! The policies, timed where they run: each request to this filter is answered with how long they took in Envoy's V8,
//! `/decisions` or `/masking`. The clock is the host's.

#![allow(missing_docs, reason = "the macro exports a function that nobody calls by name")]

mod decisions;
mod masking;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

struct Root;

impl Context for Root {}

impl RootContext for Root {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Exchange))
    }
}

struct Exchange;

impl Context for Exchange {}

impl HttpContext for Exchange {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let report = match self.get_http_request_header(":path").as_deref() {
            Some("/decisions") => decisions::report(),
            Some("/masking") => masking::report(),
            _ => {
                self.send_http_response(404, Vec::new(), None);
                return Action::Pause;
            }
        };
        let headers = vec![("content-type", "application/json")];
        self.send_http_response(200, headers, Some(report.to_string().as_bytes()));
        Action::Pause
    }
}

/// Nanoseconds of the host's clock.
fn now() -> u128 {
    hostcalls::get_current_time()
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .map_or(0, |time| time.as_nanos())
}

/// Nanoseconds that `act` takes.
fn timed(act: impl FnOnce()) -> u64 {
    let began = now();
    act();
    u64::try_from(now() - began).unwrap_or(u64::MAX)
}
