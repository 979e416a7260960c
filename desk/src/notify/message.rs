//! What is told. Nothing of the request's payload and no comment leaves the desk this way: whoever may read them opens
//! the link. Names become initials, and every other text is masked by the built-in detectors, whoever wrote it.
//!
//! ```json
//! {"approval":"0199…","event":"asked","at":"2026-11-22T10:15:30.000000Z","status":"pending","kind":"request",
//!  "what":"Run the graph billing","operations":[{"operation":"threads.create_run","class":"execute","graph":"billing"}],
//!  "rule":"production writes need a manager","gateway":"gate-1","requester":{"initials":"A. A.","roles":["analyst"]},
//!  "asked":"the role manager","agreed":0,"quorum":1,"ends":"2026-11-22T11:15:30.000000Z"}
//! ```

use graphwarden_policies::masking::{Masking, Plan};
use graphwarden_policies::policy::{At, Problems};
use serde::{Deserialize, Serialize};

use crate::approvals::{Approval, Kind, RemarkKind, Status};
use crate::clock::rfc3339;

/// The longest text that is told, in bytes.
const LONGEST_TEXT: usize = 300;
/// The most operations and roles that are told one by one.
const MOST: usize = 10;

/// What happened to an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// It waits for people.
    Asked,
    /// One more agreed, and more are needed.
    Agreed,
    /// It was granted.
    Approved,
    /// It was denied.
    Denied,
    /// Its time ran out.
    Expired,
    /// Whoever asked has gone.
    Cancelled,
    /// Somebody went past approvers.
    BreakGlass,
    /// Somebody looked at how approvers were passed by.
    Reviewed,
    /// A standing grant was taken back.
    Revoked,
}

impl Happening {
    /// Every one, in the order of an approval's life.
    pub const ALL: [Self; 9] = [
        Self::Asked,
        Self::Agreed,
        Self::Approved,
        Self::Denied,
        Self::Expired,
        Self::Cancelled,
        Self::BreakGlass,
        Self::Reviewed,
        Self::Revoked,
    ];

    /// The word in settings, messages and the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Agreed => "agreed",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::BreakGlass => "break_glass",
            Self::Reviewed => "reviewed",
            Self::Revoked => "revoked",
        }
    }

    /// Reads [`Happening::word`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|happening| happening.word() == word)
    }

    /// What a person reads first.
    pub const fn headline(self) -> &'static str {
        match self {
            Self::Asked => "Waits for a decision",
            Self::Agreed => "One more agreed",
            Self::Approved => "Approved",
            Self::Denied => "Denied",
            Self::Expired => "Expired",
            Self::Cancelled => "Withdrawn",
            Self::BreakGlass => "Went past approvers",
            Self::Reviewed => "Reviewed",
            Self::Revoked => "Grant taken back",
        }
    }

    /// What a status means that an approval has come to.
    pub const fn of(status: Status) -> Self {
        match status {
            Status::Pending => Self::Agreed,
            Status::Approved => Self::Approved,
            Status::Denied => Self::Denied,
            Status::Expired => Self::Expired,
            Status::Cancelled => Self::Cancelled,
        }
    }

    /// What a remark means.
    pub const fn of_remark(kind: RemarkKind) -> Self {
        match kind {
            RemarkKind::Review => Self::Reviewed,
            RemarkKind::Revocation => Self::Revoked,
        }
    }
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Message {
    /// The approval's id.
    pub approval: String,
    /// What happened.
    pub event: Happening,
    /// When, RFC 3339.
    pub at: String,
    /// Where the approval stands after it.
    pub status: Status,
    /// What kind of approval it is.
    pub kind: Kind,
    /// What the request does, in words.
    pub what: String,
    /// The same for programs; at most ten.
    pub operations: Vec<ToldOperation>,
    /// The rule that asked.
    pub rule: String,
    /// The gateway's name.
    pub gateway: String,
    /// Who wants it.
    pub requester: ToldRequester,
    /// Who is asked, in words.
    pub asked: String,
    /// How many have agreed.
    pub agreed: usize,
    /// How many have to.
    pub quorum: u32,
    /// When it ends undecided, RFC 3339.
    pub ends: String,
}

/// An operation, without ids of threads and runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct ToldOperation {
    /// `resource.action`.
    pub operation: String,
    /// How much it may change.
    pub class: String,
    /// The graph, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<String>,
}

/// Who wants it, as far as a chat or a mailbox should know.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct ToldRequester {
    /// `A. B.`; empty where no name is known.
    pub initials: String,
    /// The roles that the rules saw.
    pub roles: Vec<String>,
}

/// What every text goes through before it is told.
#[derive(Debug, Clone)]
pub struct Screen(Plan);

impl Screen {
    /// All built-in detectors.
    pub fn new() -> anyhow::Result<Self> {
        let mut problems = Problems::new();
        let config = serde_json::from_value(serde_json::json!({}))?;
        let masking = Masking::compile(&config, &At::root(), &|_| None, &mut problems)
            .ok_or_else(|| anyhow::anyhow!("the built-in detectors do not compile: {problems}"))?;
        Ok(Self(masking.plan(None)))
    }

    /// The text without personal data, on one line, cut where it is long.
    pub fn text(&self, text: &str) -> String {
        // Behind a blank nothing looks like JSON, which would be masked by other rules.
        let masked = self.0.preview(format!("\u{2060}{text}").as_bytes(), usize::MAX).text;
        let line: String = masked
            .trim_start_matches('\u{2060}')
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .collect();
        match line.len() {
            0..=LONGEST_TEXT => line,
            _ => format!("{}…", &line[..line.floor_char_boundary(LONGEST_TEXT)]),
        }
    }

    /// What is told of an approval.
    pub fn message(&self, approval: &Approval, event: Happening, now: i64) -> Message {
        let all = |texts: &[String]| texts.iter().take(MOST).map(|text| self.text(text)).collect();
        Message {
            approval: approval.id.clone(),
            event,
            at: rfc3339(now),
            status: approval.status,
            kind: approval.kind(),
            what: self.text(&crate::pages::operations_in_words(&approval.operations)),
            operations: approval
                .operations
                .iter()
                .take(MOST)
                .map(|operation| ToldOperation {
                    operation: self.text(&operation.operation),
                    class: self.text(&operation.class),
                    graph: operation.text("graph").map(|graph| self.text(graph)),
                })
                .collect(),
            rule: self.text(&approval.rule),
            gateway: self.text(&approval.gateway),
            requester: ToldRequester {
                initials: initials(approval.requester.name.as_deref().unwrap_or_default()),
                roles: all(&approval.requester.roles),
            },
            asked: self.text(&approval.asks.words()),
            agreed: approval.approvals(),
            quorum: approval.asks.quorum,
            ends: rfc3339(approval.undecided_until),
        }
    }
}

/// `Zoë O'Brien` as `Z. O.`; at most three letters, none for what is no name.
fn initials(name: &str) -> String {
    let letters =
        name.split_whitespace().filter_map(|word| word.chars().find(|letter| letter.is_alphabetic()));
    letters
        .take(3)
        .flat_map(char::to_uppercase)
        .map(|letter| format!("{letter}."))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_masked_cut_and_on_one_line() {
        let screen = Screen::new().unwrap();
        let told = screen.text("ask zoe.obrien@example.com\r\nor 078-05-1120");
        assert!(
            !told.contains("obrien") && !told.contains("078-05") && !told.contains(['\r', '\n']),
            "{told}"
        );
        assert_eq!(screen.text("production writes need a manager"), "production writes need a manager");
        let json = screen.text(r#"{"note": "zoe.obrien@example.com"}"#);
        assert!(!json.contains("obrien"), "{json}");
        assert!(screen.text(&"é".repeat(400)).len() < 310);
    }

    #[test]
    fn a_name_is_told_as_initials() {
        assert_eq!(initials("Zoë O'Brien"), "Z. O.");
        assert_eq!(initials("  ana  maria de  souza"), "A. M. D.");
        assert_eq!(initials("zoe.obrien@example.com"), "Z.");
        assert_eq!(initials("123"), "");
    }

    #[test]
    fn every_happening_has_a_word_of_its_own() {
        for happening in Happening::ALL {
            assert_eq!(Happening::parse(happening.word()), Some(happening));
            assert_eq!(serde_json::to_value(happening).unwrap(), happening.word());
        }
    }
}
