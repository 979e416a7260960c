//! The states after the verdict and before forwarding: people decide, the record becomes durable.

use std::rc::Rc;
use std::time::Duration;

use graphwarden_policies::access::{ApprovalDemand, Sight};
use graphwarden_policies::evidence::Approval;
use graphwarden_policies::identity::Identity;
use graphwarden_policies::operation;
use graphwarden_policies::reason::Reason;

use super::super::State;
use super::super::approval::{Answer, Asks, Preview, Question, Sound, Status, Terms};
use super::super::context::Cx;
use super::super::event::{CallReply, Effect, Event, Metric};
use super::super::gate::Moment;
use super::super::inbound::Patience;
use super::super::refusal::{Pending, Refusal};
use super::super::room::Seat;
use super::begin;
use super::judge::{self, Judged};
use super::request::{gone, interrupted};
use super::response::{Replacing, RequestSide};

/// The longest time that one poll asks the service to wait.
const LONGEST_POLL: Duration = Duration::from_secs(20);
/// A service that answers `pending` faster than this does not long-poll; it is asked again after it.
const SHORTEST_POLL: Duration = Duration::from_millis(500);
/// How much later than its own time-out a poll's answer may come before the hold ends without it.
const GRACE: Duration = Duration::from_secs(1);
/// How many bytes of the masked body approvers see.
const PREVIEW: usize = 16 << 10;
/// How long a request waits for its admission line to be durable.
const EVIDENCE_WAIT: Duration = Duration::from_secs(5);

/// What is asked about.
pub(super) struct Subject<'a> {
    pub(super) request: &'a operation::Request,
    pub(super) body: &'a [u8],
    pub(super) identity: &'a Identity,
    /// Why the caller would go past approvers.
    pub(super) reason: Option<&'a str>,
}

/// People decide.
#[derive(Debug)]
pub(in super::super) struct AwaitingApproval {
    judged: Judged,
    rule: Option<String>,
    terms: Terms,
    question: Rc<Vec<u8>>,
    began: Moment,
    /// When the caller stops waiting.
    until: Moment,
    poll: Poll,
    known: Option<Pending>,
    /// One of those that this person may have.
    _seat: Seat,
    /// Polls that failed since the last sound answer.
    failures: u32,
}

#[derive(Debug, Clone, Copy)]
enum Poll {
    /// Asked, and not answered. `due` is when the answer can no longer come.
    InFlight { since: Moment, due: Moment },
    /// To be asked again.
    Next(Moment),
}

impl AwaitingApproval {
    pub(super) fn ask_first(
        judged: Judged,
        demand: ApprovalDemand,
        rule: Option<String>,
        subject: &Subject<'_>,
        patience: Patience,
        cx: &mut Cx<'_, '_>,
    ) -> State {
        // The verdict stands in the record whatever people decide.
        cx.dossier.allowed(rule.clone());
        let requester = (subject.identity.issuer.as_str(), subject.identity.subject.as_str());
        let Some(seat) = cx.gate.room.seat(requester, cx.gate.policy.limits.held) else {
            cx.count(Metric::Approval("limited"));
            return cx.refuse(&Refusal::new(Reason::ApprovalLimit));
        };
        let question = match question(&demand, rule.as_deref(), subject, cx) {
            Ok(question) => question,
            Err(reason) => return cx.refuse(&Refusal::new(reason)),
        };
        let now = cx.gate.now;
        let hold = match patience {
            Patience::Waits => demand.hold,
            Patience::RespondAsync => Duration::ZERO,
        };
        let state = Self {
            judged,
            rule,
            terms: Terms::from(&demand),
            question: Rc::new(question),
            began: now,
            until: now.after(hold),
            poll: Poll::Next(now),
            known: None,
            _seat: seat,
            failures: 0,
        };
        state.ask(cx)
    }

    fn ask(mut self, cx: &mut Cx<'_, '_>) -> State {
        let Some(service) = &cx.gate.policy.approvals else {
            return cx.refuse(&Refusal::new(Reason::ApprovalUnavailable));
        };
        let now = cx.gate.now;
        // `Prefer: wait` counts whole seconds (RFC 7240 section 4.3).
        let wait = Duration::from_secs(self.until.since(now).min(LONGEST_POLL).as_secs());
        let due = now.after(wait).after(service.timeout).after(GRACE);
        self.poll = Poll::InFlight { since: now, due };
        cx.effects.push(Effect::AskApproval { question: Rc::clone(&self.question), wait });
        cx.pause();
        State::AwaitingApproval(self)
    }

    pub(in super::super) fn handle(self, event: Event, cx: &mut Cx<'_, '_>) -> State {
        match event {
            Event::CallReply(reply) => self.answered(&reply, cx),
            Event::Tick => self.tick(cx),
            Event::KeysChanged => {
                cx.pause();
                State::AwaitingApproval(self)
            }
            Event::ResponseHeaders { pairs, end_of_stream, .. } => {
                self.withdraw(cx);
                Replacing::early(&pairs, end_of_stream, cx)
            }
            Event::Gone(departure) => {
                self.note("withdrawn", Vec::new(), cx);
                self.withdraw(cx);
                cx.count(Metric::Approval("withdrawn"));
                gone(departure, cx)
            }
            // The body was whole when people were asked about it: bytes that come now were judged by nobody.
            Event::RequestBody { .. }
            | Event::RequestTrailers
            | Event::RequestHeaders { .. }
            | Event::EvidenceDurable
            | Event::ResponseBody { .. }
            | Event::ResponseTrailers => {
                self.withdraw(cx);
                cx.refuse_unexpected()
            }
        }
    }

    fn answered(mut self, reply: &CallReply, cx: &mut Cx<'_, '_>) -> State {
        let Poll::InFlight { since, .. } = self.poll else {
            self.withdraw(cx);
            return cx.refuse_unexpected();
        };
        let now = cx.gate.now;
        let sound = match Answer::read(reply) {
            Answer::Sound(sound) => sound,
            Answer::Refuses => return self.end_unavailable(cx),
            Answer::Limited => {
                self.note("limited", Vec::new(), cx);
                cx.count(Metric::Approval("limited"));
                return cx.refuse(&Refusal::new(Reason::ApprovalLimit));
            }
            Answer::Unavailable if now >= self.until => return self.end_unavailable(cx),
            Answer::Unavailable => {
                self.failures = self.failures.saturating_add(1);
                self.poll = Poll::Next(now.after(back_off(self.failures)));
                cx.pause();
                return State::AwaitingApproval(self);
            }
        };
        self.failures = 0;
        match sound.status {
            Status::Approved => self.approved(sound, cx),
            Status::Pending => {
                self.known = Some(Pending { id: sound.id, url: sound.url });
                if now >= self.until {
                    return self.end_pending(cx);
                }
                self.poll = Poll::Next(since.after(SHORTEST_POLL));
                if now >= since.after(SHORTEST_POLL) {
                    return self.ask(cx);
                }
                cx.pause();
                State::AwaitingApproval(self)
            }
            Status::Denied => self.end(sound, &Refusal::new(Reason::ApprovalDenied), cx),
            Status::Expired => self.end(sound, &Refusal::new(Reason::ApprovalExpired), cx),
            Status::Cancelled => {
                let refusal = Refusal::with_detail(Reason::ApprovalDenied, "the approval was cancelled");
                self.end(sound, &refusal, cx)
            }
        }
    }

    fn approved(self, sound: Sound, cx: &mut Cx<'_, '_>) -> State {
        let granted =
            self.judged.identity.as_deref().is_some_and(|requester| sound.is_granted(requester, self.terms));
        if !granted {
            let refusal = Refusal::with_detail(
                Reason::ApprovalUnavailable,
                "the approval service calls approved what its decisions do not support",
            );
            return self.end(sound, &refusal, cx);
        }
        self.known_as(&sound, cx);
        cx.count(Metric::Approval("approved"));
        judge::admit(self.judged, self.rule, cx)
    }

    /// The service has spoken, and not in favour.
    fn end(self, sound: Sound, refusal: &Refusal, cx: &mut Cx<'_, '_>) -> State {
        self.known_as(&sound, cx);
        cx.count(Metric::Approval(match sound.status {
            Status::Approved => "unsupported",
            other => other.name(),
        }));
        cx.refuse(refusal)
    }

    fn end_pending(self, cx: &mut Cx<'_, '_>) -> State {
        self.note("pending", Vec::new(), cx);
        cx.count(Metric::Approval("pending"));
        match self.known {
            Some(pending) => cx.refuse(&Refusal::pending(pending)),
            None => cx.refuse(&Refusal::new(Reason::ApprovalUnavailable)),
        }
    }

    fn end_unavailable(self, cx: &mut Cx<'_, '_>) -> State {
        self.note("unavailable", Vec::new(), cx);
        cx.count(Metric::Approval("unavailable"));
        cx.refuse(&Refusal::new(Reason::ApprovalUnavailable))
    }

    fn tick(self, cx: &mut Cx<'_, '_>) -> State {
        let now = cx.gate.now;
        match self.poll {
            Poll::InFlight { due, .. } if now >= due => self.end_unavailable(cx),
            Poll::InFlight { .. } => {
                cx.pause();
                State::AwaitingApproval(self)
            }
            Poll::Next(_) if now >= self.until => {
                if self.failures == 0 {
                    self.end_pending(cx)
                } else {
                    self.end_unavailable(cx)
                }
            }
            Poll::Next(at) if now >= at => self.ask(cx),
            Poll::Next(_) => {
                cx.pause();
                State::AwaitingApproval(self)
            }
        }
    }

    /// Writes what is known of the approval into the record.
    fn note(
        &self,
        status: &str,
        decisions: Vec<graphwarden_policies::evidence::ApprovalDecision>,
        cx: &mut Cx<'_, '_>,
    ) {
        let held = cx.gate.now.since(self.began).as_millis();
        cx.dossier.approval = Some(Approval {
            id: self.known.as_ref().map(|pending| pending.id.clone()),
            kind: self.terms.kind().map(str::to_owned),
            status: status.to_owned(),
            decisions,
            held_ms: u64::try_from(held).ok(),
        });
    }

    fn known_as(&self, sound: &Sound, cx: &mut Cx<'_, '_>) {
        self.note(sound.status.name(), sound.decisions.clone(), cx);
        if let Some(approval) = &mut cx.dossier.approval {
            approval.id = Some(sound.id.clone());
        }
    }

    fn withdraw(&self, cx: &mut Cx<'_, '_>) {
        // A question whose answer is still to come has no id here, but the service knows the exchange.
        let asked = self.known.is_some() || matches!(self.poll, Poll::InFlight { .. });
        if asked {
            let id = self.known.as_ref().map(|pending| pending.id.clone());
            cx.effects.push(Effect::WithdrawApproval { id });
        }
    }

    /// When a tick is needed.
    pub(in super::super) fn deadline(&self) -> Moment {
        match self.poll {
            Poll::InFlight { due, .. } => due,
            Poll::Next(at) => at.min(self.until),
        }
    }
}

/// 250 ms after the first failure, doubling to 4 s: a desk that restarts is back in time, and one that is down is
/// not hammered.
fn back_off(failures: u32) -> Duration {
    Duration::from_millis(250u64.saturating_mul(1 << failures.saturating_sub(1).min(4)))
}

fn question(
    demand: &ApprovalDemand,
    rule: Option<&str>,
    subject: &Subject<'_>,
    cx: &Cx<'_, '_>,
) -> Result<Vec<u8>, Reason> {
    let policy = cx.gate.policy;
    let line = &subject.request.normalised;
    let digest = cx.dossier.request.as_ref().and_then(|request| request.digest.as_deref());
    let digest = digest.ok_or(Reason::ApprovalUnavailable)?;
    // Approvers are not the caller: what the caller alone may see stays masked for them.
    let masking = cx.dossier.masking.as_ref().unwrap_or(&policy.masking);
    let preview = masking.plan(None).preview(subject.body, PREVIEW);
    if preview.truncated && demand.preview == Sight::Full {
        return Err(Reason::ApprovalPreview);
    }
    let question = Question {
        exchange: &cx.dossier.exchange,
        requester: subject.identity.into(),
        operations: &cx.dossier.operations,
        rule: rule.unwrap_or_default(),
        asks: Asks::new(demand, subject.reason),
        policy: policy.digest(),
        digest,
        preview: Preview {
            method: &line.method,
            path: &line.path,
            body: &preview.text,
            truncated: preview.truncated,
        },
        gateway: &policy.gateway,
    };
    serde_json::to_vec(&question).map_err(|_| Reason::ApprovalUnavailable)
}

/// The admission line is on its way to the ledger.
#[derive(Debug)]
pub(in super::super) struct AwaitingEvidence {
    judged: Judged,
    pub(in super::super) seq: u64,
    pub(in super::super) until: Moment,
}

impl AwaitingEvidence {
    pub(super) fn begin(judged: Judged, seq: u64, cx: &mut Cx<'_, '_>) -> State {
        cx.pause();
        State::AwaitingEvidence(Self { judged, seq, until: cx.gate.now.after(EVIDENCE_WAIT) })
    }

    pub(in super::super) fn handle(self, event: Event, cx: &mut Cx<'_, '_>) -> State {
        match event {
            Event::EvidenceDurable => begin::go_on(self.judged, cx),
            Event::Tick if cx.gate.now < self.until => {
                cx.pause();
                State::AwaitingEvidence(self)
            }
            Event::Tick => cx.refuse(&Refusal::new(Reason::EvidenceUnavailable)),
            Event::KeysChanged => {
                cx.pause();
                State::AwaitingEvidence(self)
            }
            Event::RequestBody { .. } | Event::RequestTrailers => match self.judged.side {
                RequestSide::Streaming => {
                    cx.pause();
                    State::AwaitingEvidence(self)
                }
                RequestSide::Complete => cx.refuse_unexpected(),
            },
            other => interrupted(other, cx),
        }
    }
}
