//! The tables of an export: CSV by RFC 4180, safe to open in a spreadsheet.

use std::collections::HashSet;
use std::io::Write;

use csv::{Terminator, Writer, WriterBuilder};
use futures::StreamExt;
use serde_json::Value;

use crate::approvals::Approval;
use crate::clock::rfc3339;
use crate::store::{Finding, Gap, Store};

fn writer<W: Write>(out: W) -> Writer<W> {
    WriterBuilder::new().terminator(Terminator::CRLF).from_writer(out)
}

/// A cell that no spreadsheet takes for a formula: what begins like one gets an apostrophe in front.
fn cell(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

fn row<W: Write>(out: &mut Writer<W>, cells: &[&str]) -> anyhow::Result<()> {
    out.write_record(cells.iter().map(|text| cell(text)))?;
    Ok(())
}

/// Who did what, when, and how it ended: every outcome, and every admission without one, in order of time.
pub(super) async fn invocations<W: Write>(store: &Store, from: i64, to: i64, out: W) -> anyhow::Result<u64> {
    let mut finished: HashSet<[u8; 16]> = HashSet::new();
    let mut exchanges = store.finished_exchanges(from, to);
    while let Some(exchange) = exchanges.next().await {
        finished.insert(key(&exchange?));
    }
    drop(exchanges);
    let mut out = writer(out);
    row(
        &mut out,
        &[
            "time",
            "name",
            "email",
            "subject",
            "roles",
            "operation",
            "graph",
            "thread",
            "run",
            "decision",
            "rule",
            "reason",
            "approval",
            "status",
            "end",
            "exchange",
            "position",
        ],
    )?;
    let mut count = 0;
    let mut lines = store.lines_by_time(from, to);
    while let Some(line) = lines.next().await {
        let (position, line) = line?;
        let record: Value = serde_json::from_slice(&line)?;
        let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let end = match text("/kind") {
            "outcome" => text("/response/end"),
            "admission" if !finished.contains(&key(text("/exchange"))) => "unfinished",
            _ => continue,
        };
        let list = |pointer: &str, member: Option<&str>| {
            let items =
                record.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let mut texts: Vec<&str> = items
                .iter()
                .filter_map(|item| {
                    member.map_or(Some(item), |member| item.get(member)).and_then(Value::as_str)
                })
                .collect();
            texts.dedup();
            texts.join(" ")
        };
        let status = record.pointer("/response/status").map(ToString::to_string).unwrap_or_default();
        row(
            &mut out,
            &[
                text("/at"),
                text("/actor/name"),
                text("/actor/email"),
                text("/actor/subject"),
                &list("/actor/roles", None),
                &list("/operations", Some("operation")),
                &list("/operations", Some("graph")),
                &list("/operations", Some("thread")),
                &list("/operations", Some("run")),
                text("/decision/effect"),
                text("/decision/rule"),
                text("/decision/reason"),
                text("/approval/id"),
                &status,
                end,
                text("/exchange"),
                &position.to_string(),
            ],
        )?;
        count += 1;
    }
    out.flush()?;
    Ok(count)
}

/// Enough of an exchange's name to tell it from every other.
fn key(exchange: &str) -> [u8; 16] {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(exchange.as_bytes());
    std::array::from_fn(|index| hash[index])
}

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
        let (created, quorum) = (rfc3339(approval.created_at), approval.quorum.to_string());
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

/// What does not add up.
pub(super) fn findings<W: Write>(
    contradictions: &[Finding],
    gaps: &[Gap],
    unfinished: &[(String, i64)],
    out: W,
) -> anyhow::Result<()> {
    let mut out = writer(out);
    row(&mut out, &["kind", "time", "chain", "place", "exchange", "detail"])?;
    for finding in contradictions {
        let (at, place) = (rfc3339(finding.found_at), finding.seq.to_string());
        row(&mut out, &[&finding.kind, &at, &finding.chain, &place, "", &finding.detail])?;
    }
    for gap in gaps {
        let detail = format!("{} lines are missing before place {}", gap.missing, gap.last);
        row(&mut out, &["gap", "", &gap.chain, &gap.last.to_string(), "", &detail])?;
    }
    for (exchange, at) in unfinished {
        row(
            &mut out,
            &["unfinished", &rfc3339(*at), "", "", exchange, "admitted, and no outcome was handed in"],
        )?;
    }
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_by_rfc_4180_and_never_formulas() {
        let mut bytes = Vec::new();
        {
            let mut out = writer(&mut bytes);
            row(&mut out, &["=1+1", "@SUM(A1)", "-2", "+3", "a,b", "say \"hi\"", "two\nlines", "plain"])
                .unwrap();
            out.flush().unwrap();
        }
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, "'=1+1,'@SUM(A1),'-2,'+3,\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",plain\r\n");
    }
}
