//! Telling the service a person's decision: by the desk's own API for people, or by a program of the operator's.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use url::Url;

/// How long a program may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How people decide at the service under test.
#[derive(Debug, Clone)]
pub enum Decider {
    /// Not at all.
    Nobody,
    /// By the desk's API, each person with a token.
    Desk {
        /// Where `POST {base}/v1/approvals/{id}/decisions` leads.
        base: Url,
        /// A token a person.
        tokens: Vec<String>,
    },
    /// By a program that is given `ID approve|deny PERSON`, where PERSON is 1 or 2; 0 is its exit code where the
    /// service took the decision.
    Program {
        /// The program and its first arguments.
        command: Vec<String>,
    },
}

impl Decider {
    /// How many people can decide.
    pub(super) fn people(&self) -> usize {
        match self {
            Self::Nobody => 0,
            Self::Desk { tokens, .. } => tokens.len(),
            Self::Program { .. } => 2,
        }
    }

    /// Person `who`, counted from 0, decides; whether the service took it.
    pub(super) async fn decide(&self, id: &str, who: usize, verdict: &str) -> Result<bool, String> {
        match self {
            Self::Nobody => Err("nobody can decide here".to_owned()),
            Self::Desk { base, tokens } => {
                let token = tokens.get(who).ok_or("there is no such person")?;
                let url = format!("{}/v1/approvals/{id}/decisions", base.as_str().trim_end_matches('/'));
                let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build();
                let client = client.map_err(|error| error.to_string())?;
                let body = json!({"decision": verdict, "comment": "conformance"});
                let answer = client.post(url).bearer_auth(token).json(&body).send().await;
                let status = answer.map_err(|_| "the decision cannot be sent".to_owned())?.status();
                match status.as_u16() {
                    401 => Err("an approver's token is refused".to_owned()),
                    500.. => Err(format!("a decision is answered with {status}")),
                    _ => Ok(status.is_success()),
                }
            }
            Self::Program { command } => {
                let (program, first) = command.split_first().ok_or("no program is named")?;
                let child = tokio::process::Command::new(program)
                    .args(first)
                    .args([id, verdict, &(who + 1).to_string()])
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .kill_on_drop(true)
                    .status();
                let ended = tokio::time::timeout(PATIENCE, child).await;
                let status = ended
                    .map_err(|_| "the program that decides does not end".to_owned())?
                    .map_err(|error| format!("the program that decides cannot be run: {error}"))?;
                Ok(status.success())
            }
        }
    }
}
