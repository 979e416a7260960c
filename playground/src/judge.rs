//! What the policy says about the request on the table.

use graphwarden_policies::policy::Mode;
use graphwarden_trial::Found;
use serde_json::{Value, json};

use crate::table::{Reading, Table, refusal};

/// Judges the request as the gate would.
///
/// `policy` says whether the policy is sound, with every problem, its path, line and column; `wrong` what else cannot be
/// read, by the field's name; `verdict` is what `graphwarden explain` prints; `answer` what a refused caller gets.
pub fn judge(table: &Table) -> Value {
    let (found, policy) = match table.policy() {
        Reading::Sound(found, policy) => (found, policy),
        Reading::Wrong(found, problems) => {
            let problems: Vec<Value> = problems
                .iter()
                .map(|problem| {
                    let (line, column) = found.place(problem);
                    json!({
                        "path": problem.path, "what": problem.what, "hint": problem.hint, "line": line,
                        "column": column,
                    })
                })
                .collect();
            return json!({"policy": {"state": "wrong", "problems": problems}});
        }
        Reading::Unreadable(why) => return json!({"policy": {"state": "unreadable", "why": why}}),
    };
    let said = json!({
        "state": "sound",
        "digest": policy.digest(),
        "observe": policy.mode == Mode::Observe,
        "warnings": warnings(&found, &policy.rules.shadows()),
    });
    match table.verdict(&policy) {
        Err(wrong) => json!({"policy": said, "wrong": wrong}),
        Ok(verdict) => {
            let answer = refusal(&verdict.effect).map(|(reason, status, message)| {
                let detail = verdict.detail.as_deref().unwrap_or(message);
                let request_id = "6ba3d0c4-2f0e-4d0c-9a43-1c5d5c6f7a10";
                json!({"status": status, "body": {"detail": detail, "reason": reason, "request_id": request_id}})
            });
            json!({"policy": said, "verdict": verdict.to_json(policy.mode), "answer": answer})
        }
    }
}

fn warnings(found: &Found, shadows: &[graphwarden_policies::access::Shadow<'_>]) -> Vec<Value> {
    shadows
        .iter()
        .map(|shadow| {
            let path = format!("access.rules[{}].name", shadow.place);
            let (line, column) = found.place_of(&path);
            let what = format!(
                "rule `{}` decides, whatever the request, about some of what rule `{}` is about",
                shadow.earlier, shadow.later
            );
            json!({"path": path, "what": what, "hint": null, "line": line, "column": column})
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "identity:\n  issuers:\n    - { issuer: https://idp.example.com, audiences: [langgraph], algorithms: [ES256], keys: { cluster: idp, discover: true } }\naccess:\n  rules:\n    - { name: readers read, operations: [\"class:read\"], when: '\"reader\" in identity.roles', then: allow }\nevidence: { off: true }\n";

    fn table(policy: &str, request: &str, claims: &str) -> Value {
        let (policy, request, claims) = (policy.to_owned(), request.to_owned(), claims.to_owned());
        judge(&Table { policy, request, claims, now: 1_800_000_000, ..Table::default() })
    }

    #[test]
    fn says_who_may_and_what_a_refused_caller_gets() {
        let may = table(
            POLICY,
            "GET /threads/0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab HTTP/1.1\n\n",
            r#"{"sub":"ana","roles":["reader"]}"#,
        );
        assert_eq!(may["verdict"]["decision"]["rule"], "readers read");
        let nobody = table(POLICY, "GET /threads/0c6e0f1a-9a1b-4c2d-8e3f-0123456789ab HTTP/1.1\n\n", "");
        assert_eq!(nobody["answer"]["status"], 401);
        assert_eq!(nobody["answer"]["body"]["reason"], "token_missing");
    }

    #[test]
    fn every_problem_of_a_policy_has_its_path_and_its_line() {
        let wrong = POLICY.replace("class:read", "class:raed").replace("issuers", "isuers");
        let said = table(&wrong, "GET /ok HTTP/1.1\n\n", "");
        assert_eq!(said["policy"]["state"], "wrong");
        let problems = said["policy"]["problems"].as_array().unwrap();
        assert!(
            problems.iter().any(|problem| problem["line"] == 2 || problem["path"] == "identity.isuers"),
            "{said}"
        );
    }

    #[test]
    fn what_else_cannot_be_read_is_said_where_it_stands() {
        assert!(table(POLICY, "", "")["wrong"]["request"].is_string());
        assert!(table(POLICY, "GET /ok HTTP/1.1\n\n", "{")["wrong"]["claims"].is_string());
        assert_eq!(table("a: [", "", "")["policy"]["state"], "unreadable");
    }
}
