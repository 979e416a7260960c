//! The order of judgement: head, caller, body, operations, rules, approval, evidence. Steps, not states: each ends
//! in the state that waits for what the next step needs, or in the verdict.

use std::sync::Arc;
use std::time::Duration;

use graphwarden_policies::access::{BREAK_GLASS_HEADER, Beginning, Effect as Ruling, break_glass_reason};
use graphwarden_policies::evidence::OperationRecord;
use graphwarden_policies::identity::{Identity, Introspection, Origin, Refused};
use graphwarden_policies::masking::Masking;
use graphwarden_policies::operation::{self, Class};
use graphwarden_policies::reason::Reason;

use super::super::State;
use super::super::context::{Cx, Outgoing};
use super::super::event::Effect;
use super::super::gate::Moment;
use super::super::inbound::{Body, Inbound};
use super::super::refusal::Refusal;
use super::begin;
use super::hold::{AwaitingApproval, AwaitingEvidence};
use super::lookup::{self, Trial};
use super::request::{AwaitingBody, AwaitingIntrospection, AwaitingKeys, ReadHead};
use super::response::RequestSide;

/// How long a request waits for an issuer's keys.
const KEYS_WAIT: Duration = Duration::from_secs(3);

/// How much later than its own time-out an issuer's answer may come.
const INTROSPECTION_GRACE: Duration = Duration::from_secs(1);

/// A request that may go upstream as far as its words go.
#[derive(Debug)]
pub(in super::super) struct Judged {
    pub(in super::super) outgoing: Outgoing,
    pub(in super::super) identity: Option<Arc<Identity>>,
    pub(in super::super) side: RequestSide,
    /// Its record has to be durable before it goes upstream.
    pub(in super::super) before: bool,
    /// A thread that has to be made before it goes upstream.
    pub(in super::super) begins: Option<Beginning>,
}

/// The headers are clean: what kind of request is it?
pub(super) fn head(inbound: Inbound, cx: &mut Cx<'_, '_>) -> State {
    let head = cx.gate.policy.operations.read_head(inbound.method(), inbound.path(), &inbound.pairs);
    match head {
        // A request line that cannot be judged says nothing that a caller's identity could change.
        Err(refused)
            if matches!(
                refused.reason,
                Reason::RequestMalformed | Reason::UpgradeRefused | Reason::BodyEncoded
            ) =>
        {
            cx.refuse(&Refusal::with_detail(refused.reason, refused.detail))
        }
        Ok(head) if head.public => public(inbound, &head, cx),
        // Who calls is asked before an unknown operation is refused: strangers cannot tell which routes exist,
        // and the record names who tried.
        head => caller(inbound, head, None, cx),
    }
}

/// An operation that the policy opens to everyone.
fn public(inbound: Inbound, head: &operation::Head, cx: &mut Cx<'_, '_>) -> State {
    match cx.gate.policy.operations.read(head, &[]) {
        Err(refused) => cx.refuse(&Refusal::with_detail(refused.reason, refused.detail)),
        Ok(request) => {
            note(&request, cx);
            let judged = judged(&inbound, Some(&request), None, cx);
            admit(judged, None, cx)
        }
    }
}

/// Who is calling? `until` is the end of a wait for keys that is under way.
pub(super) fn caller(inbound: Inbound, head: ReadHead, until: Option<Moment>, cx: &mut Cx<'_, '_>) -> State {
    let gate = &mut *cx.gate;
    let now = gate.now;
    let authenticator = &gate.policy.authenticator;
    let verified = match (authenticator.origin(), &inbound.verified) {
        (Origin::Token, _) => authenticator.authenticate(
            &inbound.pairs,
            gate.keys.ring(),
            gate.tokens,
            gate.native,
            gate.wall.seconds(),
        ),
        (Origin::JwtAuthn { .. }, Some(claims)) => {
            authenticator.authenticate_payload(claims, gate.keys.ring(), gate.tokens, gate.wall.seconds())
        }
        (Origin::JwtAuthn { .. }, None) => {
            let detail = "jwt_authn left no claims: no token came, or it does not run before this filter";
            Err(Refused { reason: Reason::TokenMissing, detail, refetch: None })
        }
    };
    match verified {
        Ok(identity) => active(inbound, head, identity, cx),
        Err(refused) => {
            let until = until.unwrap_or_else(|| now.after(KEYS_WAIT));
            let better_keys_may_come =
                refused.refetch.is_some_and(|missing| now < until && cx.gate.keys.want(missing, now));
            if better_keys_may_come {
                cx.pause();
                State::AwaitingKeys(AwaitingKeys { inbound, head, until, otherwise: refused.reason })
            } else {
                caller_refused(inbound, head, Refusal::with_detail(refused.reason, refused.detail), cx)
            }
        }
    }
}

/// The caller is not known. Where the gate only observes, the request goes on as it came.
pub(super) fn caller_refused(
    inbound: Inbound,
    head: ReadHead,
    refusal: Refusal,
    cx: &mut Cx<'_, '_>,
) -> State {
    if !cx.observes() {
        return cx.refuse(&refusal);
    }
    if let Ok(request) = head.and_then(|head| cx.gate.policy.operations.read(&head, &[])) {
        note(&request, cx);
    }
    cx.dossier.would_deny(None, refusal.reason);
    // The upstream may have an authentication of its own: observing must not take its credentials away.
    let outgoing =
        Outgoing::new(&inbound.pairs, None, |name| name.starts_with(b"x-graphwarden-"), |_, _| None);
    cx.forward(&outgoing, None, RequestSide::of(&inbound.body))
}

/// Does the issuer have to be asked whether the token still counts (RFC 7662)?
fn active(inbound: Inbound, head: ReadHead, identity: Arc<Identity>, cx: &mut Cx<'_, '_>) -> State {
    let gate = &mut *cx.gate;
    let now = gate.now;
    let asked =
        gate.policy.authenticator.introspection(&inbound.pairs, &identity, gate.tokens, gate.wall.seconds());
    match asked {
        Ok(Introspection::Settled) => known(inbound, head, identity, cx),
        Ok(Introspection::Ask(request)) => {
            let until = now.after(request.timeout).after(INTROSPECTION_GRACE);
            cx.effects.push(Effect::Introspect(request));
            cx.pause();
            State::AwaitingIntrospection(AwaitingIntrospection { inbound, head, identity, until })
        }
        Err(refused) => {
            caller_refused(inbound, head, Refusal::with_detail(refused.reason, refused.detail), cx)
        }
    }
}

pub(super) fn known(
    mut inbound: Inbound,
    head: ReadHead,
    identity: Arc<Identity>,
    cx: &mut Cx<'_, '_>,
) -> State {
    // Without a body there is nothing to count, now or later.
    if !matches!(&inbound.body, Body::Whole(body) if body.is_empty()) {
        cx.gate.room.assign(&mut inbound.share, (&identity.issuer, &identity.subject));
    }
    cx.dossier.identity = Some(Arc::clone(&identity));
    match head {
        Err(refused) => {
            let judged = judged(&inbound, None, Some(identity), cx);
            deny(judged, None, &Refusal::with_detail(refused.reason, refused.detail), cx)
        }
        Ok(head) => whole(inbound, head, identity, cx),
    }
}

/// Is the body whole?
pub(super) fn whole(
    mut inbound: Inbound,
    head: operation::Head,
    identity: Arc<Identity>,
    cx: &mut Cx<'_, '_>,
) -> State {
    match inbound.body {
        Body::Coming { .. } => {
            cx.pause();
            State::AwaitingBody(AwaitingBody { inbound, head, identity })
        }
        Body::Whole(body) => {
            inbound.body = Body::Whole(Vec::new());
            verdict(inbound, &head, body, identity, cx)
        }
    }
}

/// Everything is there: what does the request do?
fn verdict(
    inbound: Inbound,
    head: &operation::Head,
    body: Vec<u8>,
    identity: Arc<Identity>,
    cx: &mut Cx<'_, '_>,
) -> State {
    let request = match cx.gate.policy.operations.read(head, &body) {
        Ok(request) => request,
        Err(refused) => {
            let judged = judged(&inbound, None, Some(identity), cx);
            return deny(judged, None, &Refusal::with_detail(refused.reason, refused.detail), cx);
        }
    };
    note(&request, cx);
    match Trial::new(inbound, request, body, identity, cx) {
        (trial, None) => lookup::look_up(trial, cx),
        (trial, Some(refused)) => fails(trial, &Refusal::with_detail(refused.reason, refused.detail), cx),
    }
}

/// Refuses what was read and cannot be ruled on.
pub(super) fn fails(trial: Trial, refusal: &Refusal, cx: &mut Cx<'_, '_>) -> State {
    note_body(&trial.request, &trial.body, &cx.gate.policy.masking, cx);
    let judged = judged(&trial.inbound, Some(&trial.request), Some(trial.identity), cx);
    deny(judged, None, refusal, cx)
}

/// Everything is known: may they?
pub(super) fn rule(trial: Trial, cx: &mut Cx<'_, '_>) -> State {
    let Trial { inbound, request, body, identity, owner, known, .. } = trial;
    let policy = cx.gate.policy;
    if !known.is_empty() {
        note(&request, cx);
    }
    let source = cx.dossier.source.address.as_deref().map_or("", without_port);
    let call = policy.rules.call(source, &inbound.pairs);
    let decision = policy.rules.decide(&identity, &request, &call, cx.gate.wall.seconds());
    let masking = policy.masking_under(&decision.obligations);
    let mut judged = judged(&inbound, Some(&request), Some(Arc::clone(&identity)), cx);
    judged.before |= decision.obligations.before;
    let owned = match (&decision.effect, policy.rules.ownership(), &owner) {
        (Ruling::Allow | Ruling::Approval(_), Some(ownership), Some(owner)) => {
            let fresh = cx.dossier.exchange.as_str();
            ownership.admits(owner, &request, &known).and_then(|()| {
                judged.begins = ownership.begins(owner, &request, &known, fresh, &body)?;
                ownership.stamped(owner, &request, &body)
            })
        }
        _ => Ok(None),
    };
    let (body, refused) = match owned {
        // Where the gate only observes, it changes nothing.
        Ok(Some(stamped)) if !cx.observes() => {
            judged.outgoing.replace_body(&stamped);
            (stamped, None)
        }
        Ok(_) => (body, None),
        Err(refused) => (body, Some(refused)),
    };
    // The digest and the record are of what is forwarded.
    note_body(&request, &body, masking, cx);
    if let Some(refused) = refused {
        return deny(judged, decision.rule, &Refusal::with_detail(refused.reason, refused.detail), cx);
    }
    cx.dossier.oblige(masking.clone(), request.changes_subjects());
    match decision.effect {
        Ruling::Allow => admit(judged, decision.rule, cx),
        Ruling::Deny { reason, message } => {
            let refusal = match message {
                Some(message) => Refusal::with_detail(reason, message),
                None => Refusal::new(reason),
            };
            deny(judged, decision.rule, &refusal, cx)
        }
        Ruling::Approval(_) if cx.observes() => {
            deny(judged, decision.rule, &Refusal::new(Reason::ApprovalPending), cx)
        }
        Ruling::Approval(demand) => {
            let reason = call.headers.get(BREAK_GLASS_HEADER).map(String::as_str);
            let reason = break_glass_reason(reason);
            let subject =
                super::hold::Subject { request: &request, body: &body, identity: &identity, reason };
            AwaitingApproval::ask_first(judged, demand, decision.rule, &subject, inbound.patience, cx)
        }
    }
}

fn judged(
    inbound: &Inbound,
    request: Option<&operation::Request>,
    identity: Option<Arc<Identity>>,
    cx: &Cx<'_, '_>,
) -> Judged {
    let authenticator = &cx.gate.policy.authenticator;
    let path = request.map(|request| request.normalised.path.as_str());
    Judged {
        outgoing: Outgoing::new(
            &inbound.pairs,
            path,
            |name| authenticator.strip(name),
            |name, value| (name == b"cookie").then(|| authenticator.cookies_to_keep(value)).flatten(),
        ),
        identity,
        side: RequestSide::of(&inbound.body),
        before: cx.gate.policy.evidence.as_ref().is_some_and(|evidence| {
            evidence.before.contains(&request.map_or(Class::Admin, operation::Request::class))
        }),
        begins: None,
    }
}

/// Refuses, or where the gate only observes, writes down that it would have.
fn deny(judged: Judged, rule: Option<String>, refusal: &Refusal, cx: &mut Cx<'_, '_>) -> State {
    if cx.observes() {
        cx.dossier.would_deny(rule, refusal.reason);
        return cx.forward(&judged.outgoing, judged.identity.as_deref(), judged.side);
    }
    if rule.is_some() {
        cx.dossier.allowed(rule);
    }
    cx.refuse(refusal)
}

/// Allowed: forwards, after the record of it is durable where the policy asks for that.
pub(in super::super) fn admit(judged: Judged, rule: Option<String>, cx: &mut Cx<'_, '_>) -> State {
    cx.dossier.allowed(rule);
    let policy = cx.gate.policy;
    if cx.observes() {
        return cx.forward(&judged.outgoing, judged.identity.as_deref(), judged.side);
    }
    // Known only now: what people were asked about was the message as it came.
    if let Some(beginning) = &judged.begins {
        for operation in &mut cx.dossier.operations {
            operation.thread.get_or_insert_with(|| beginning.thread.clone());
        }
    }
    if !judged.before || policy.evidence.is_none() {
        return begin::go_on(judged, cx);
    }
    let admission = cx.dossier.admission(policy, cx.gate.wall);
    let seq = cx.gate.ledger.as_mut().and_then(|ledger| ledger.append(&admission));
    cx.dossier.admitted = seq.is_some();
    match seq {
        None => cx.refuse(&Refusal::new(Reason::EvidenceUnavailable)),
        Some(seq) => AwaitingEvidence::begin(judged, seq, cx),
    }
}

/// `192.0.2.1:4711` → `192.0.2.1`, `[2001:db8::1]:4711` → `2001:db8::1`.
fn without_port(address: &str) -> &str {
    match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => address.rsplit_once(':').map_or(address, |(host, _)| host),
    }
}

fn note(request: &operation::Request, cx: &mut Cx<'_, '_>) {
    cx.dossier.asked(request.normalised.method.as_bytes(), request.normalised.path.as_bytes());
    cx.dossier.operations = request.operations.iter().map(OperationRecord::from).collect();
}

/// The keyed digest of the whole request, and what of its masked body the record keeps.
fn note_body(request: &operation::Request, body: &[u8], masking: &Masking, cx: &mut Cx<'_, '_>) {
    let policy = cx.gate.policy;
    let Some(record) = &mut cx.dossier.request else { return };
    // Nobody else asks for it: approvals and evidence are told of the request by it.
    let is_told = policy.evidence.is_some() || policy.approvals.is_some();
    record.digest = policy.digest_key.as_ref().filter(|_| is_told).map(|key| {
        key.digest(&[request.normalised.method.as_bytes(), request.normalised.path.as_bytes(), body])
    });
    if body.is_empty() {
        return;
    }
    record.bytes = Some(body.len() as u64);
    let limit = policy.evidence.as_ref().map_or(0, |evidence| evidence.body_limit);
    if limit > 0 {
        let preview = masking.plan(None).preview(body, limit);
        record.body = Some(preview.text);
        record.body_truncated = preview.truncated;
    }
}
