//! What a state works with while it handles one event, and the moves that several states share: refuse, forward,
//! fail. This is the one place that turns a reason into an outcome.

use std::rc::Rc;

use graphwarden_policies::identity::Identity;
use graphwarden_policies::policy::Mode;
use graphwarden_policies::reason::Reason;

use super::State;
use super::dossier::{Dossier, Slot};
use super::event::{Edit, Effect, Flow, Metric, Pairs};
use super::gate::Gate;
use super::inbound::{asks_for_unmaskable, values};
use super::recording::Recording;
use super::refusal::Refusal;
use super::states::{Cut, Forwarded, Refused, RequestSide};

/// One event's surroundings and the reaction to it so far.
pub(super) struct Cx<'e, 'g> {
    pub(super) dossier: &'e mut Dossier,
    pub(super) gate: &'e mut Gate<'g>,
    pub(super) flow: Flow,
    pub(super) effects: Vec<Effect>,
}

impl Cx<'_, '_> {
    pub(super) fn observes(&self) -> bool {
        self.gate.policy.mode == Mode::Observe
    }

    pub(super) fn count(&mut self, metric: Metric) {
        self.effects.push(Effect::Count(metric, 1));
    }

    /// Holds the side of the stream that the event came from.
    pub(super) fn pause(&mut self) {
        self.flow = Flow::Pause;
    }

    /// Lets it go on.
    pub(super) fn go_on(&mut self) {
        self.flow = Flow::Continue;
    }

    /// Answers the caller in the upstream's place. Nothing of the request has been forwarded, nothing will be.
    pub(super) fn refuse(&mut self, refusal: &Refusal) -> State {
        self.dossier.denied(refusal.reason);
        self.dossier.status = refusal.status();
        self.count(Metric::Request { decision: "deny", reason: refusal.reason.code() });
        let mut reply = refusal.reply(&self.dossier.request_id);
        reply.headers.extend(self.dossier.cors.iter().cloned());
        self.dossier.sent.add(&reply.body);
        self.effects.push(Effect::Reply(reply));
        self.pause();
        State::Refused(Refused)
    }

    /// An event that the state does not expect, before anything was forwarded: our bug or the host's.
    pub(super) fn refuse_unexpected(&mut self) -> State {
        self.refuse(&Refusal::new(Reason::Internal))
    }

    /// Ends a response that cannot go on. What was sent stays sent; nothing follows it.
    pub(super) fn cut(&mut self, why: &'static str) -> State {
        self.effects.push(Effect::ReplaceBody(Vec::new()));
        self.effects
            .push(Effect::Reply(Refusal::new(Reason::ResponseUnmaskable).reply(&self.dossier.request_id)));
        self.count(Metric::Cut(why));
        self.pause();
        State::Cut(Cut)
    }

    /// Lets the request go upstream, its headers edited, its side of the stream going on.
    pub(super) fn forward(
        &mut self,
        outgoing: &Outgoing,
        identity: Option<&Identity>,
        side: RequestSide,
    ) -> State {
        let mut edits = outgoing.edits.clone();
        if let Some(identity) = identity {
            let gate = &mut *self.gate;
            let added =
                gate.policy.authenticator.upstream_headers(identity, gate.tokens, gate.wall.seconds());
            edits.extend(added.iter().map(|(name, value)| Edit::Set(name.clone(), value.clone())));
        }
        if !outgoing.has_request_id(&self.dossier.request_id) {
            edits.push(Edit::Set("x-request-id".to_owned(), self.dossier.request_id.clone().into_bytes()));
        }
        // A claim with a line break in it would be a header of its own.
        if edits.iter().any(breaks_lines) {
            return self.refuse_unexpected();
        }
        self.effects.push(Effect::EditRequest(edits));
        if let Some(body) = &outgoing.body {
            self.effects.push(Effect::ReplaceRequestBody(Rc::clone(body)));
        }
        self.forget_lookups();
        let observed = self.dossier.decision.as_ref().filter(|decision| decision.observed);
        let observed = observed.and_then(|decision| {
            let rule = decision.rule.clone().unwrap_or_else(|| "none".to_owned());
            Some((code_of(decision.reason.as_deref()?), rule))
        });
        match observed {
            Some((reason, rule)) => {
                self.count(Metric::Request { decision: "would_deny", reason });
                self.count(Metric::WouldDeny(rule));
            }
            None => self.count(Metric::Request { decision: "allow", reason: "none" }),
        }
        self.go_on();
        State::Forwarded(Forwarded { side, method: outgoing.method })
    }

    /// From here on the response is written down while it streams. It may last for hours, so who asked for what is
    /// written first, where it was not before.
    pub(super) fn begin_recording(&mut self) {
        let policy = self.gate.policy;
        let Some(limit) = policy.evidence.as_ref().map(|evidence| evidence.stream_limit) else { return };
        self.dossier.sent.hash_all();
        self.dossier.recording = Some(Box::new(Recording::new(self.dossier.began, limit)));
        if !self.dossier.admitted && self.dossier.slot == Slot::Held {
            let admission = self.dossier.admission(policy, self.gate.wall);
            let seq = self.gate.ledger.as_mut().and_then(|ledger| ledger.append(&admission));
            self.dossier.admitted = seq.is_some();
        }
    }

    /// Takes a piece of a response that streams, as it was sent.
    pub(super) fn record_stream(&mut self, piece: &[u8]) {
        let Some(recording) = &mut self.dossier.recording else { return };
        if let Some(run) = recording.add(piece, self.gate.now)
            && let [operation] = self.dossier.operations.as_mut_slice()
            && operation.run.is_none()
        {
            operation.run = Some(run);
        }
        self.write_segment_where_due();
    }

    /// Writes what came of the stream, where that is much or has waited long enough.
    pub(super) fn write_segment_where_due(&mut self) {
        if self.dossier.segment_due().is_some_and(|due| due <= self.gate.now) {
            self.write_segment();
        }
    }

    /// Writes what came of the stream since the last segment. Without room the stream goes on unwritten, and its
    /// outcome says so.
    pub(super) fn write_segment(&mut self) {
        while let Some((record, bytes)) = self.dossier.segment(self.gate.policy, self.gate.wall) {
            let held = self.dossier.slot == Slot::Held;
            let ledger = self.gate.ledger.as_mut().filter(|_| held);
            let written = ledger.is_some_and(|ledger| ledger.append_spare(&record, bytes));
            if let (false, Some(recording)) = (written, &mut self.dossier.recording) {
                recording.lose();
            }
        }
    }

    /// Where this exchange may change what LangGraph answers, what it answered before no longer counts. Said when the
    /// change goes out, when its answer comes, and at the end: whichever is later than the change makes it known.
    pub(super) fn forget_lookups(&mut self) {
        if self.dossier.changes_lookups {
            self.effects.push(Effect::ForgetLookups);
        }
    }

    /// Sets room aside for this exchange's lines. False where there is none and there has to be.
    pub(super) fn reserve(&mut self) -> bool {
        let observes = self.observes();
        match (&mut self.gate.ledger, self.dossier.slot) {
            (None, _) | (_, Slot::Held) => true,
            (Some(ledger), Slot::None) => {
                let got = ledger.reserve();
                if got {
                    self.dossier.slot = Slot::Held;
                }
                got || observes
            }
        }
    }
}

fn breaks_lines(edit: &Edit) -> bool {
    match edit {
        Edit::Remove(_) => false,
        Edit::Set(_, value) => value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)),
    }
}

/// A recorded code as the constant that it came from.
fn code_of(code: &str) -> &'static str {
    Reason::ALL.iter().map(|reason| reason.code()).find(|known| *known == code).unwrap_or("internal")
}

/// What forwarding will change about the request's headers, and what the response's reader has to know of them.
#[derive(Debug)]
pub(super) struct Outgoing {
    edits: Vec<Edit>,
    method: Method,
    /// Instead of the body that the request came with.
    body: Option<Rc<Vec<u8>>>,
    /// Whether the request says how long its body is.
    has_length: bool,
    /// The `x-request-id` that the request came with, where it came with one alone.
    request_id: Option<Vec<u8>>,
}

/// What the method means for the response's body (RFC 9110 section 9.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Head,
    Other,
}

impl Outgoing {
    /// Takes away what must not go upstream. `path` is the spelling that was judged, where it was judged.
    /// `strips` says which headers are taken away, `keeps` what of a stripped header's value goes back in.
    pub(super) fn new(
        pairs: &Pairs,
        path: Option<&str>,
        strips: impl Fn(&[u8]) -> bool,
        keeps: impl Fn(&[u8], &[u8]) -> Option<Vec<u8>>,
    ) -> Self {
        let mut edits: Vec<Edit> = Vec::new();
        let mut method = Method::Other;
        for (name, value) in pairs {
            match name.as_slice() {
                b":method" if value == b"HEAD" => method = Method::Head,
                b":path" => {
                    if let Some(path) = path.filter(|path| path.as_bytes() != value) {
                        edits.push(Edit::Set(":path".to_owned(), path.as_bytes().to_vec()));
                    }
                }
                _ if asks_for_unmaskable(name) || strips(name) => {
                    // A name that is no text could not be removed by name; Envoy lets none through.
                    let Ok(name) = String::from_utf8(name.clone()) else { continue };
                    let edit = match keeps(name.as_bytes(), value) {
                        None => Edit::Remove(name),
                        Some(kept) => Edit::Set(name, kept),
                    };
                    if !edits.contains(&edit) {
                        edits.push(edit);
                    }
                }
                _ => {}
            }
        }
        let mut ids = values(pairs, b"x-request-id");
        let request_id = ids.next().filter(|_| ids.next().is_none()).map(<[u8]>::to_vec);
        let has_length = values(pairs, b"content-length").next().is_some();
        Self { edits, method, body: None, has_length, request_id }
    }

    /// Another body goes upstream, and its length with it.
    pub(super) fn replace_body(&mut self, body: &[u8]) {
        if self.has_length {
            let length = body.len().to_string().into_bytes();
            self.edits.push(Edit::Set("content-length".to_owned(), length));
        }
        self.body = Some(Rc::new(body.to_vec()));
    }

    fn has_request_id(&self, id: &str) -> bool {
        self.request_id.as_deref() == Some(id.as_bytes())
    }
}
