//! The root context: one for each configuration and VM.

use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType, LogLevel};
use uuid::Uuid;

use super::ids::Ids;
use super::shared::Shared;
use super::stopwatch::{Part, Stopwatch};
use super::stream::StreamHost;
use super::wire;
use crate::document;
use crate::exchange::{CallReply, Moment};
use crate::root::Core;

/// How long a root that is shut down may take to deliver what it still has. A policy that changes while the ledger is
/// away must not cost its lines, and they take no more memory than they did.
const DRAIN: Duration = Duration::from_secs(60 * 60);
/// The largest answer to a callout that is read.
const LARGEST_ANSWER: usize = 1 << 20;

pub(super) struct RootHost {
    id: u32,
    shared: Option<Rc<Shared>>,
    ids: Ids,
    /// When draining ends, delivered or not.
    drain_until: Option<Moment>,
}

impl RootHost {
    pub(super) fn new(id: u32) -> Self {
        Self { id, shared: None, ids: Ids::default(), drain_until: None }
    }
}

impl Context for RootHost {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize, _trailers: usize) {
        let _watch = Stopwatch::start(Part::Root);
        let Some(shared) = &self.shared else { return };
        let Some(purpose) = shared.take_call(token) else { return };
        // Without headers there was no answer; an answer that is too large is none either.
        let status = if headers == 0 || body_size > LARGEST_ANSWER { None } else { wire::call_status() };
        let body = match status {
            Some(_) => wire::bytes(BufferType::HttpCallResponseBody, 0, body_size),
            None => Some(Vec::new()),
        };
        let reply = match body {
            Some(body) => CallReply { status, body },
            None => CallReply { status: None, body: Vec::new() },
        };
        shared.answered(purpose, reply);
        shared.pump();
    }

    fn on_done(&mut self) -> bool {
        let Some(shared) = &self.shared else { return true };
        if shared.is_flushed() {
            shared.leave();
            return true;
        }
        self.drain_until = Some(wire::now().after(DRAIN));
        false
    }
}

impl RootContext for RootHost {
    fn on_configure(&mut self, size: usize) -> bool {
        let Some(document) = wire::bytes(BufferType::PluginConfiguration, 0, size) else {
            wire::log(LogLevel::Critical, "the policy could not be read");
            return false;
        };
        let document = document::to_json(document);
        // Envoy passes `vm_config.environment_variables` in as the environment of WASI.
        let environment = |name: &str| std::env::var(name).ok();
        let (seed, _) = Uuid::new_v4().as_u64_pair();
        let chain = Uuid::new_v4().simple().to_string();
        let bell = Uuid::new_v4().simple().to_string();
        match Core::new(&document, &environment, seed, chain, wire::wall()) {
            Ok(core) => {
                let shared = Shared::new(self.id, core, &bell);
                shared.hurry();
                self.shared = Some(Rc::new(shared));
                true
            }
            Err(problems) => {
                for problem in problems.iter() {
                    wire::log(LogLevel::Critical, &format!("the policy is refused: {problem}"));
                }
                false
            }
        }
    }

    fn on_tick(&mut self) {
        let _watch = Stopwatch::start(Part::Root);
        let Some(shared) = &self.shared else { return };
        shared.tick();
        shared.pump();
        let drained = |until: &Moment| shared.is_flushed() || wire::now() >= *until;
        if self.drain_until.take_if(|until| drained(until)).is_some() {
            if !shared.is_flushed() {
                wire::log(LogLevel::Error, "evidence was left undelivered at the end of the drain");
            }
            shared.leave();
            wire::done();
        }
    }

    fn on_queue_ready(&mut self, queue: u32) {
        let _watch = Stopwatch::start(Part::Root);
        if let Some(shared) = &self.shared {
            shared.answer_bell(queue);
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        let stream = self
            .shared
            .as_ref()
            .and_then(|shared| shared.open(id, self.ids.next()).map(|stream| (Rc::clone(shared), stream)));
        Some(Box::new(StreamHost::new(stream)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
