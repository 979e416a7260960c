//! `graphwarden approvals`: see what waits and decide about it, from a terminal, by the desk's API for people.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use url::Url;

/// What can be told to `approvals`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the desk is
    #[arg(
        long,
        env = "GRAPHWARDEN_DESK",
        value_name = "URL",
        default_value = "http://127.0.0.1:8400",
        global = true
    )]
    desk: Url,
    /// Name of the environment variable that holds your OIDC token; where it is not set, that of `login` is used
    #[arg(long, value_name = "NAME", default_value = "GRAPHWARDEN_APPROVER_TOKEN", global = true)]
    token_env: String,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Sign in with a browser (OIDC device flow); the token is kept for your user alone
    Login(super::sign_in::Login),
    /// Forget the token
    Logout,
    /// List approvals, newest first
    List {
        /// Only those that stand so: pending, approved, denied, expired or cancelled
        #[arg(long, default_value = "pending")]
        status: String,
        /// Print the desk's JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one approval with its masked payload
    Show {
        /// Its id
        id: String,
        /// Print the desk's JSON
        #[arg(long)]
        json: bool,
    },
    /// Approve
    Approve(Decide),
    /// Deny
    Deny(Decide),
    /// Print approvals as they come in, until interrupted
    Watch,
    /// List messages that were not delivered, or send one again
    Notifications {
        /// Only those that stand so: waiting, delivered or dead
        #[arg(long, default_value = "dead")]
        state: String,
        /// Send this dead letter again
        #[arg(long, value_name = "ID", conflicts_with = "state")]
        retry: Option<String>,
        /// Print the desk's JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Decide {
    /// The approval's id
    id: String,
    /// Why; kept with your decision
    #[arg(long, short = 'm')]
    comment: Option<String>,
}

/// How often `watch` looks.
const EVERY: Duration = Duration::from_secs(1);

/// Does one thing; exit code 1 where the desk refused.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    super::runtime()?.block_on(act(args))?;
    Ok(ExitCode::SUCCESS)
}

struct Desk {
    base: String,
    token: String,
    http: reqwest::Client,
}

impl Desk {
    /// Calls the desk; a problem (RFC 9457) becomes an error in its own words.
    async fn call(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let reply = request.send().await.context("the desk cannot be reached")?;
        let status = reply.status();
        let body: Value =
            reply.json().await.with_context(|| format!("the desk answered {status} without JSON"))?;
        if !status.is_success() {
            bail!(
                "{} ({})",
                body["detail"].as_str().unwrap_or("the desk refused"),
                body["reason"].as_str().unwrap_or("?")
            );
        }
        Ok(body)
    }

    async fn pending(&self, status: &str) -> anyhow::Result<Vec<Value>> {
        let query: String = url::form_urlencoded::byte_serialize(status.as_bytes()).collect();
        let mut found =
            self.call(reqwest::Method::GET, &format!("/v1/approvals?limit=200&status={query}"), None).await?;
        match found["approvals"].take() {
            Value::Array(approvals) => Ok(approvals),
            _ => bail!("the desk's answer holds no list of approvals"),
        }
    }
}

async fn act(args: Args) -> anyhow::Result<()> {
    match &args.action {
        Action::Login(login) => return super::sign_in::login(&args.desk, login).await,
        Action::Logout => {
            let was = super::sign_in::logout(&args.desk)?;
            println!("{}", if was { "signed out" } else { "you were not signed in" });
            return Ok(());
        }
        _ => {}
    }
    let token = match std::env::var(&args.token_env).ok().filter(|token| !token.is_empty()) {
        Some(token) => token,
        None => super::sign_in::token(&args.desk).await?.with_context(|| {
            format!(
                "you are not signed in; run `graphwarden approvals login`, or put your OIDC token into {}",
                args.token_env
            )
        })?,
    };
    let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
    let desk = Desk { base: args.desk.as_str().trim_end_matches('/').to_owned(), token, http };
    match args.action {
        Action::Login(_) | Action::Logout => {}
        Action::List { status, json } => {
            let approvals = desk.pending(&status).await?;
            if json {
                println!("{}", Value::Array(approvals));
            } else if approvals.is_empty() {
                println!("nothing is {status}");
            } else {
                approvals.iter().for_each(|approval| println!("{}", line(approval)));
            }
        }
        Action::Show { id, json } => {
            let approval = desk.call(reqwest::Method::GET, &path(&id), None).await?;
            if json { println!("{approval}") } else { print!("{}", page(&approval)) }
        }
        Action::Approve(given) => decide(&desk, given, "approve").await?,
        Action::Deny(given) => decide(&desk, given, "deny").await?,
        Action::Notifications { retry: Some(id), .. } => {
            let id: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
            let path = format!("/v1/notifications/{id}/retry");
            println!("{}", told(&desk.call(reqwest::Method::POST, &path, None).await?));
        }
        Action::Notifications { state, retry: None, json } => {
            let query: String = url::form_urlencoded::byte_serialize(state.as_bytes()).collect();
            let path = format!("/v1/notifications?state={query}");
            let found = desk.call(reqwest::Method::GET, &path, None).await?;
            let messages = found["notifications"].as_array().map(Vec::as_slice).unwrap_or_default();
            if json {
                println!("{}", found["notifications"]);
            } else if messages.is_empty() {
                println!("nothing is {state}");
            } else {
                messages.iter().for_each(|message| println!("{}", told(message)));
            }
        }
        Action::Watch => {
            let mut known = std::collections::HashSet::new();
            loop {
                // A desk that restarts is waited for.
                match desk.pending("pending").await {
                    Ok(approvals) => {
                        for approval in approvals.iter().rev() {
                            if known.insert(text(approval, "/id").to_owned()) {
                                println!("{}", line(approval));
                            }
                        }
                    }
                    Err(error) => eprintln!("graphwarden: {error:#}"),
                }
                tokio::time::sleep(EVERY).await;
            }
        }
    }
    Ok(())
}

async fn decide(desk: &Desk, given: Decide, decision: &str) -> anyhow::Result<()> {
    let body = json!({"decision": decision, "comment": given.comment});
    let approval =
        desk.call(reqwest::Method::POST, &format!("{}/decisions", path(&given.id)), Some(body)).await?;
    println!("{}", line(&approval));
    Ok(())
}

fn path(id: &str) -> String {
    let id: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
    format!("/v1/approvals/{id}")
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Without control characters: what others wrote must not steer the terminal.
pub(super) fn safe(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() && letter != '\n' { '\u{fffd}' } else { letter })
        .collect()
}

fn who(approval: &Value) -> &str {
    ["/requester/name", "/requester/email", "/requester/subject"]
        .into_iter()
        .map(|pointer| text(approval, pointer))
        .find(|name| !name.is_empty())
        .unwrap_or("?")
}

fn operations(approval: &Value) -> String {
    let operations = approval["operations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let words: Vec<String> = operations
        .iter()
        .map(|operation| {
            format!("{} {}", text(operation, "/operation"), text(operation, "/graph")).trim().to_owned()
        })
        .collect();
    words.join(", ")
}

fn line(approval: &Value) -> String {
    let mine = if approval["you"]["may_decide"] == true { "yours to decide" } else { "" };
    let shown = format!(
        "{}  {:<9}  {}  {}  [{}]  {mine}",
        text(approval, "/id"),
        text(approval, "/status"),
        who(approval),
        operations(approval),
        text(approval, "/rule"),
    );
    safe(shown.trim_end()).replace('\n', " ")
}

/// A message to a destination, on one line.
fn told(message: &Value) -> String {
    let shown = format!(
        "{}  {:<9}  {}  {} of {}  tried {}  {}",
        text(message, "/id"),
        text(message, "/state"),
        text(message, "/destination"),
        text(message, "/event"),
        text(message, "/approval"),
        message["attempts"],
        text(message, "/error"),
    );
    safe(shown.trim_end()).replace('\n', " ")
}

fn page(approval: &Value) -> String {
    let mut out = format!(
        "{}\n  status   {} ({} of {} agreed), until {}\n  who      {} <{}>, roles {}\n  what     {}\n  rule     {}\n  request  {} {}\n",
        text(approval, "/id"),
        text(approval, "/status"),
        approval["approved"],
        approval["quorum"],
        text(approval, "/undecided_until"),
        who(approval),
        text(approval, "/requester/email"),
        approval["requester"]["roles"],
        operations(approval),
        text(approval, "/rule"),
        text(approval, "/preview/method"),
        text(approval, "/preview/path"),
    );
    for taken in approval["decisions"].as_array().map(Vec::as_slice).unwrap_or_default() {
        out.push_str(&format!(
            "  {} by {} at {} {}\n",
            text(taken, "/decision"),
            text(taken, "/approver/subject"),
            text(taken, "/at"),
            text(taken, "/comment"),
        ));
    }
    if approval["preview"]["truncated"] == true {
        out.push_str("  the payload is longer than what is shown\n");
    }
    out.push_str(text(approval, "/preview/body"));
    out.push('\n');
    if approval["you"]["may_decide"] != true {
        out.push_str(&format!("you may not decide: {}\n", text(approval, "/you/detail")));
    }
    safe(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_steer_the_terminal() {
        let nasty = json!({"id": "1", "status": "pending", "rule": "\u{1b}[2Jx\nforged line",
                           "preview": {"body": "\u{1b}]0;title\u{7}"}});
        assert!(!line(&nasty).contains(['\u{1b}', '\n']));
        assert!(!page(&nasty).contains(['\u{1b}', '\u{7}']));
    }
}
