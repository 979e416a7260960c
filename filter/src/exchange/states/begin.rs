//! The last step before forwarding: a conversation that begins gets its thread, with the caller's mark; everything else
//! goes on at once.

use graphwarden_policies::access::Beginning;
use graphwarden_policies::reason::Reason;

use super::super::State;
use super::super::context::Cx;
use super::super::event::{CallReply, Event};
use super::super::gate::Moment;
use super::super::refusal::Refusal;
use super::judge::Judged;
use super::lookup;
use super::request::interrupted;

/// Lets a request go upstream that has been allowed, and written down where it had to be.
pub(super) fn go_on(mut judged: Judged, cx: &mut Cx<'_, '_>) -> State {
    match judged.begins.take() {
        None => cx.forward(&judged.outgoing, judged.identity.as_deref(), judged.side),
        Some(beginning) => AwaitingThread::ask(judged, beginning, cx),
    }
}

/// LangGraph makes the thread.
#[derive(Debug)]
pub(in super::super) struct AwaitingThread {
    judged: Judged,
    beginning: Beginning,
    pub(in super::super) until: Moment,
}

impl AwaitingThread {
    fn ask(judged: Judged, beginning: Beginning, cx: &mut Cx<'_, '_>) -> State {
        let identity = judged.identity.as_deref();
        match identity.and_then(|identity| lookup::ask(beginning.question(), identity, cx)) {
            Some(until) => State::AwaitingThread(Self { judged, beginning, until }),
            None => cx.refuse(&Refusal::new(Reason::LookupUnavailable)),
        }
    }

    pub(in super::super) fn handle(self, event: Event, cx: &mut Cx<'_, '_>) -> State {
        match event {
            Event::CallReply(reply) => self.answered(&reply, cx),
            Event::Tick if cx.gate.now < self.until => {
                cx.pause();
                State::AwaitingThread(self)
            }
            Event::Tick => cx.refuse(&Refusal::new(Reason::LookupUnavailable)),
            Event::KeysChanged => {
                cx.pause();
                State::AwaitingThread(self)
            }
            other => interrupted(other, cx),
        }
    }

    fn answered(mut self, reply: &CallReply, cx: &mut Cx<'_, '_>) -> State {
        if let Err(refused) = self.beginning.answer(reply.status.unwrap_or(0), &reply.body) {
            return cx.refuse(&Refusal::with_detail(refused.reason, refused.detail));
        }
        if let Some(body) = &self.beginning.body {
            self.judged.outgoing.replace_body(body);
        }
        cx.forward(&self.judged.outgoing, self.judged.identity.as_deref(), self.judged.side)
    }
}
