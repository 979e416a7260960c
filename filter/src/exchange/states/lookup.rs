//! Between reading and ruling: LangGraph is asked what the rules hang on and only it knows, an assistant's graph, or
//! whose a thread is.

use std::sync::Arc;
use std::time::Duration;

use graphwarden_policies::identity::Identity;
use graphwarden_policies::operation::{Epoch, Knowledge, Lookups, Question, Refused, Request, Subject};
use graphwarden_policies::reason::Reason;

use super::super::State;
use super::super::context::Cx;
use super::super::event::{CallReply, Effect, Event, Inquiry};
use super::super::gate::Moment;
use super::super::inbound::Inbound;
use super::super::refusal::Refusal;
use super::judge;
use super::request::interrupted;

/// Most questions that one request may need. A batch of runs of as many assistants is not held for longer.
const MOST_QUESTIONS: u32 = 32;
/// How much later than its own time-out an answer may come.
const GRACE: Duration = Duration::from_secs(1);

/// A whole request that has been read and not been judged.
#[derive(Debug)]
pub(in super::super) struct Trial {
    pub(super) inbound: Inbound,
    pub(super) request: Request,
    pub(super) body: Vec<u8>,
    pub(super) identity: Arc<Identity>,
    /// By what the caller's things are known; `None` for who is not bound, or where nothing is owned.
    pub(super) owner: Option<String>,
    pub(super) known: Knowledge,
    asked: u32,
}

impl Trial {
    /// Begins a trial, or says why this caller cannot have one.
    pub(super) fn new(
        inbound: Inbound,
        request: Request,
        body: Vec<u8>,
        identity: Arc<Identity>,
        cx: &Cx<'_, '_>,
    ) -> (Self, Option<Refused>) {
        let owner = cx.gate.policy.rules.ownership().map(|ownership| ownership.owner(&identity));
        let (owner, refused) = match owner {
            None | Some(Ok(None)) => (None, None),
            Some(Ok(Some(owner))) => (Some(owner), None),
            Some(Err(refused)) => (None, Some(refused)),
        };
        (Self { inbound, request, body, identity, owner, known: Knowledge::new(), asked: 0 }, refused)
    }

    /// What has to be asked next, in the light of what is known.
    fn lacks(&mut self, cx: &Cx<'_, '_>) -> Option<Subject> {
        let rules = &cx.gate.policy.rules;
        cx.gate.policy.operations.lookups()?;
        if rules.names_graph() {
            self.request.learn(&self.known);
            if let Some(subject) = self.request.graphs_hidden(&self.known).into_iter().next() {
                return Some(subject);
            }
        }
        let ownership = rules.ownership().filter(|_| self.owner.is_some())?;
        ownership.subjects(&self.request, &self.known).into_iter().next()
    }
}

/// Asks for what is not known, or goes on to the ruling.
pub(super) fn look_up(mut trial: Trial, cx: &mut Cx<'_, '_>) -> State {
    while let Some(subject) = trial.lacks(cx) {
        match cx.gate.lookups.find(&subject, cx.gate.now.0) {
            Some(found) => {
                trial.known.insert(subject, found);
            }
            None if trial.asked >= MOST_QUESTIONS => {
                let detail = "the request is about more assistants and threads than the gate asks after";
                return judge::fails(trial, &Refusal::with_detail(Reason::BodyTooLarge, detail), cx);
            }
            None => return AwaitingLookup::ask(trial, subject, cx),
        }
    }
    judge::rule(trial, cx)
}

/// Asks LangGraph, and says how long to wait for the answer; `None` where the policy has nobody to ask.
pub(super) fn ask(question: Question, identity: &Identity, cx: &mut Cx<'_, '_>) -> Option<Moment> {
    let lookups = cx.gate.policy.operations.lookups()?;
    let inquiry = inquiry(lookups, question, identity, cx);
    cx.effects.push(Effect::LookUp(inquiry));
    cx.pause();
    Some(cx.gate.now.after(lookups.timeout).after(GRACE))
}

/// A question as a request to LangGraph. The server answers as it would answer the caller: what it keeps from them stays
/// unknown here.
fn inquiry(lookups: &Lookups, question: Question, identity: &Identity, cx: &mut Cx<'_, '_>) -> Inquiry {
    let mut headers = vec![
        (":method".to_owned(), question.method.to_owned()),
        (":scheme".to_owned(), "http".to_owned()),
        (":authority".to_owned(), lookups.authority.clone()),
        (":path".to_owned(), question.path),
        ("accept".to_owned(), "application/json".to_owned()),
    ];
    if !question.body.is_empty() {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    let gate = &mut *cx.gate;
    let told = gate.policy.authenticator.upstream_headers(identity, gate.tokens, gate.wall.seconds());
    let text = |value: &Vec<u8>| String::from_utf8(value.clone()).ok();
    headers.extend(told.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))));
    Inquiry { cluster: lookups.cluster.clone(), headers, body: question.body, timeout: lookups.timeout }
}

/// LangGraph has been asked.
#[derive(Debug)]
pub(in super::super) struct AwaitingLookup {
    trial: Trial,
    subject: Subject,
    asked_in: Epoch,
    pub(in super::super) until: Moment,
}

impl AwaitingLookup {
    fn ask(mut trial: Trial, subject: Subject, cx: &mut Cx<'_, '_>) -> State {
        // What was read of the body may be many times as large, and is kept meanwhile.
        let limit = cx.gate.policy.limits.bodies;
        if trial.asked == 0 && !trial.inbound.share.take(trial.request.weight, limit) {
            return judge::fails(trial, &Refusal::new(Reason::GateFull), cx);
        }
        trial.asked = trial.asked.saturating_add(1);
        match ask(subject.question(), &trial.identity, cx) {
            Some(until) => {
                State::AwaitingLookup(Self { trial, subject, asked_in: cx.gate.lookups.epoch(), until })
            }
            None => judge::fails(trial, &Refusal::new(Reason::LookupUnavailable), cx),
        }
    }

    pub(in super::super) fn handle(self, event: Event, cx: &mut Cx<'_, '_>) -> State {
        match event {
            Event::CallReply(reply) => self.answered(&reply, cx),
            Event::Tick if cx.gate.now < self.until => {
                cx.pause();
                State::AwaitingLookup(self)
            }
            Event::Tick => judge::fails(self.trial, &Refusal::new(Reason::LookupUnavailable), cx),
            Event::KeysChanged => {
                cx.pause();
                State::AwaitingLookup(self)
            }
            other => interrupted(other, cx),
        }
    }

    fn answered(mut self, reply: &CallReply, cx: &mut Cx<'_, '_>) -> State {
        let policy = cx.gate.policy;
        let key = policy.rules.ownership().map(|ownership| ownership.key());
        let Some(found) = self.subject.answer(reply.status.unwrap_or(0), &reply.body, key) else {
            return judge::fails(self.trial, &Refusal::new(Reason::LookupUnavailable), cx);
        };
        let found = Arc::new(found);
        let now = cx.gate.now;
        // What is not there may be made at any moment, here or elsewhere: only what is there is remembered.
        if let (Some(lookups), true) = (policy.operations.lookups(), found.is_there()) {
            let until = now.after(lookups.cache).0;
            cx.gate.lookups.keep(self.subject.clone(), Arc::clone(&found), self.asked_in, until, now.0);
        }
        self.trial.known.insert(self.subject, found);
        look_up(self.trial, cx)
    }
}
