//! The tables of an export that are the desk's own word: approvals and findings.

use std::io::Write;

use super::cells::{row, writer};
use crate::approvals::Approval;
use crate::clock::rfc3339;
use crate::store::{Finding, Selection};

/// Who asked, who decided, when, and why: one row a decision, and one for each request without any.
pub(super) fn approvals<W: Write>(approvals: &[Approval], out: W) -> anyhow::Result<()> {
    let mut out = writer(out);
    row(
        &mut out,
        &[
            "asked",
            "approval",
            "status",
            "requester_name",
            "requester_email",
            "requester_subject",
            "operations",
            "rule",
            "quorum",
            "decided",
            "approver_name",
            "approver_email",
            "approver_subject",
            "decision",
            "comment",
            "carried_out",
            "exchange",
        ],
    )?;
    for approval in approvals {
        let operations = approval
            .operations
            .iter()
            .map(|operation| operation.operation.as_str())
            .collect::<Vec<_>>()
            .join(" ");
        let (created, quorum) = (rfc3339(approval.created_at), approval.asks.quorum.to_string());
        let claimed = approval.claimed_at.map(rfc3339).unwrap_or_default();
        let asked = [
            created.as_str(),
            &approval.id,
            approval.status.word(),
            approval.requester.name.as_deref().unwrap_or_default(),
            approval.requester.email.as_deref().unwrap_or_default(),
            &approval.requester.subject,
            &operations,
            &approval.rule,
            &quorum,
        ];
        let carried = [claimed.as_str(), approval.claimed_by.as_deref().unwrap_or_default()];
        if approval.decisions.is_empty() {
            row(&mut out, &[&asked[..], &[""; 6], &carried].concat())?;
        }
        for decision in &approval.decisions {
            let at = rfc3339(decision.at);
            let decided = [
                at.as_str(),
                decision.name.as_deref().unwrap_or_default(),
                decision.email.as_deref().unwrap_or_default(),
                &decision.subject,
                decision.verdict.word(),
                decision.comment.as_deref().unwrap_or_default(),
            ];
            row(&mut out, &[&asked[..], &decided, &carried].concat())?;
        }
    }
    out.flush()?;
    Ok(())
}

/// Whether an approval belongs to what was chosen. Exports by decision alone keep all of them.
pub(super) fn is_chosen(approval: &Approval, selection: &Selection) -> bool {
    let holds = |wanted: &Option<String>, texts: &[&str]| {
        wanted.as_ref().is_none_or(|wanted| {
            let wanted = wanted.to_lowercase();
            texts.iter().any(|text| text.to_lowercase().contains(&wanted))
        })
    };
    let requester = &approval.requester;
    let (name, email) = (requester.name.as_deref(), requester.email.as_deref());
    let operations: Vec<&str> = approval.operations.iter().map(|one| one.operation.as_str()).collect();
    let deciders =
        approval.decisions.iter().flat_map(|one| [Some(&one.subject), one.name.as_ref(), one.email.as_ref()]);
    let mut people = vec![name.unwrap_or_default(), email.unwrap_or_default(), &requester.subject];
    people.extend(deciders.flatten().map(String::as_str));
    holds(&selection.person, &people)
        && holds(&selection.operation, &operations)
        && selection.thread.as_ref().is_none_or(|thread| {
            approval.operations.iter().any(|operation| operation.text("thread") == Some(thread))
        })
}

/// What does not add up.
pub(super) fn findings<W: Write>(findings: &[Finding], out: W) -> anyhow::Result<()> {
    let mut out = writer(out);
    row(&mut out, &["kind", "time", "chain", "place", "exchange", "detail"])?;
    for finding in findings {
        let at = finding.at.map(rfc3339).unwrap_or_default();
        let place = finding.seq.map(|seq| seq.to_string()).unwrap_or_default();
        row(&mut out, &[&finding.kind, &at, &finding.chain, &place, &finding.exchange, &finding.detail])?;
    }
    out.flush()?;
    Ok(())
}
