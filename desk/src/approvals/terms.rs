//! What a rule asks for, as a gateway sends it, and what the decisions so far come to under it.
//!
//! ```json
//! {"approvers": ["role:manager", "role:security"], "quorum": 3, "valid_seconds": 600, "expires_seconds": 3600,
//!  "all_of": [{"approver": "role:manager", "count": 1}, {"approver": "role:security", "count": 2}],
//!  "denial": "majority", "preview": "full"}
//! ```

use serde::{Deserialize, Serialize};

use super::Verdict;
use crate::error::Error;
use crate::people::Person;

/// The longest window that a rule may ask for: 30 days, in seconds.
const LONGEST_WINDOW: u64 = 30 * 24 * 3_600;
/// The longest standing grant: a day, in seconds.
const LONGEST_GRANT: u64 = 24 * 3_600;
/// The largest quorum: more distinct people than any process asks for.
const LARGEST_QUORUM: u32 = 20;
/// The longest reason for going past approvers, in bytes.
const LONGEST_REASON: usize = 1_000;

/// What a rule asks for. A demand that this desk does not know is refused: granting without it would be granting more.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Asks {
    /// Who may decide; for [`Asks::break_glass`] who reviews afterwards.
    pub approvers: Vec<String>,
    /// How many distinct people have to approve; with [`Asks::all_of`] as many as there are seats.
    pub quorum: u32,
    /// How long a granted approval can be claimed, in seconds.
    pub valid_seconds: u64,
    /// When an undecided one ends, in seconds from its creation.
    pub expires_seconds: u64,
    /// Seats that distinct people have to fill, each person one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub all_of: Vec<Seats>,
    /// What a denial does.
    #[serde(default, skip_serializing_if = "Denial::is_one")]
    pub denial: Denial,
    /// How much of the request approvers have to have seen.
    #[serde(default, skip_serializing_if = "Sight::is_partial")]
    pub preview: Sight,
    /// Instead of for these bytes once, for these operations any number of times for so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_seconds: Option<u64>,
    /// Why nobody is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
}

/// Seats for the same kind of people.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Seats {
    /// Who may sit there.
    pub approver: String,
    /// How many.
    pub count: u32,
}

/// What a denial does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Denial {
    /// One ends the request.
    #[default]
    One,
    /// As many as approvals are asked for end it.
    Majority,
}

impl Denial {
    // serde hands over a reference.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    fn is_one(&self) -> bool {
        *self == Self::One
    }
}

/// How much of the request approvers have to have seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sight {
    /// What fits.
    #[default]
    Partial,
    /// All of it.
    Full,
}

impl Sight {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    fn is_partial(&self) -> bool {
        *self == Self::Partial
    }
}

/// Why nobody is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// The requester's own words.
    pub reason: String,
}

/// What kind of approval it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// For these bytes, once.
    Request,
    /// For these operations, for a while.
    Standing,
    /// Past approvers, to be reviewed.
    BreakGlass,
}

impl Kind {
    /// The word in the contract and in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Standing => "standing",
            Self::BreakGlass => "break_glass",
        }
    }

    /// Reads [`Kind::word`].
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Request, Self::Standing, Self::BreakGlass].into_iter().find(|kind| kind.word() == word)
    }
}

/// Someone who may decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approver {
    /// Anyone with the role.
    Role(String),
    /// Anyone in the group.
    Group(String),
    /// The person with this subject at the desk's issuer.
    Subject(String),
}

impl Approver {
    /// Reads `role:NAME`, `group:NAME` or `subject:ID`.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once(':')?;
        if name.is_empty() {
            return None;
        }
        match kind {
            "role" => Some(Self::Role(name.to_owned())),
            "group" => Some(Self::Group(name.to_owned())),
            "subject" => Some(Self::Subject(name.to_owned())),
            _ => None,
        }
    }

    /// Whether `person` is meant.
    pub fn is(&self, person: &Person) -> bool {
        match self {
            Self::Role(role) => person.roles.contains(role),
            Self::Group(group) => person.groups.contains(group),
            Self::Subject(subject) => person.subject == *subject,
        }
    }

    /// In words: `the role manager`.
    pub fn words(&self) -> String {
        match self {
            Self::Role(name) => format!("the role {name}"),
            Self::Group(name) => format!("the group {name}"),
            Self::Subject(name) => format!("the person {name}"),
        }
    }
}

/// One person's decision, as far as counting it goes.
#[derive(Debug, Clone, Copy)]
pub struct Vote<'a> {
    /// Yes or no.
    pub verdict: Verdict,
    /// Which of the approvers the person was when deciding.
    pub fits: &'a [String],
}

/// How far a kind of seats is filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// Who may sit there.
    pub approver: String,
    /// How many sit there.
    pub filled: u32,
    /// How many have to.
    pub count: u32,
}

impl Asks {
    /// The kind of approval that is asked for.
    pub const fn kind(&self) -> Kind {
        match (&self.break_glass, self.grant_seconds) {
            (Some(_), _) => Kind::BreakGlass,
            (None, Some(_)) => Kind::Standing,
            (None, None) => Kind::Request,
        }
    }

    /// Checks what JSON alone does not.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |what: String| Err(Error::Malformed(what));
        if !(1..=LARGEST_QUORUM).contains(&self.quorum) {
            return wrong(format!("`asks.quorum` has to be 1 to {LARGEST_QUORUM}"));
        }
        let windows = [
            ("valid_seconds", self.valid_seconds, LONGEST_WINDOW),
            ("expires_seconds", self.expires_seconds, LONGEST_WINDOW),
            ("grant_seconds", self.grant_seconds.unwrap_or(1), LONGEST_GRANT),
        ];
        for (name, seconds, longest) in windows {
            if !(1..=longest).contains(&seconds) {
                return wrong(format!("`asks.{name}` has to be 1 to {longest}"));
            }
        }
        if self.approvers.is_empty() {
            return wrong("`asks.approvers` is empty, so nobody could decide".into());
        }
        let seats = self.all_of.iter().map(|seats| &seats.approver);
        if self.approvers.iter().chain(seats).any(|text| Approver::parse(text).is_none()) {
            return wrong("`asks` names one who is not role:NAME, group:NAME or subject:ID".into());
        }
        if !self.all_of.is_empty() {
            let count = self.all_of.iter().fold(0_u32, |sum, seats| sum.saturating_add(seats.count));
            if count != self.quorum || self.all_of.iter().any(|seats| seats.count == 0) {
                return wrong("`asks.quorum` has to be the number of seats in `asks.all_of`".into());
            }
            if self.all_of.iter().any(|seats| !self.approvers.contains(&seats.approver)) {
                return wrong("`asks.approvers` has to hold everyone whom `asks.all_of` names".into());
            }
        }
        match &self.break_glass {
            Some(past) if past.reason.trim().is_empty() || past.reason.len() > LONGEST_REASON => {
                wrong(format!("`asks.break_glass.reason` has to have 1 to {LONGEST_REASON} bytes"))
            }
            Some(_) if self.grant_seconds.is_some() => {
                wrong("`asks` is either a standing grant or a way past approvers".into())
            }
            _ => Ok(()),
        }
    }

    /// Which of those asked `person` is, in the words of the rule.
    pub fn fits(&self, person: &Person) -> Vec<String> {
        let is = |text: &&String| Approver::parse(text).is_some_and(|approver| approver.is(person));
        self.approvers.iter().filter(is).cloned().collect()
    }

    /// Who is asked, in words.
    pub fn words(&self) -> String {
        let named = |text: &str| Approver::parse(text).map(|approver| approver.words());
        if self.all_of.is_empty() {
            return self.approvers.iter().filter_map(|text| named(text)).collect::<Vec<_>>().join(" or ");
        }
        let seats = self.all_of.iter().filter_map(|seats| {
            Some(match seats.count {
                1 => format!("one with {}", named(&seats.approver)?),
                many => format!("{many} with {}", named(&seats.approver)?),
            })
        });
        seats.collect::<Vec<_>>().join(" and ")
    }

    /// How many of the asked approvals are there. `votes` are those of distinct people.
    ///
    /// With seats each person fills one, and as many are filled as can be: a person who fits two kinds sits where
    /// the other kind's people cannot.
    pub fn approved(&self, votes: &[Vote<'_>]) -> usize {
        self.seated(votes).iter().flatten().count()
    }

    /// How far each kind of seats is filled; empty without seats.
    pub fn filled(&self, votes: &[Vote<'_>]) -> Vec<Filled> {
        let seated = self.seated(votes);
        let mut first = 0;
        let mut filled = Vec::with_capacity(self.all_of.len());
        for seats in &self.all_of {
            let count = seats.count as usize;
            let taken = seated.iter().skip(first).take(count).flatten().count();
            first += count;
            filled.push(Filled {
                approver: seats.approver.clone(),
                filled: u32::try_from(taken).unwrap_or(u32::MAX),
                count: seats.count,
            });
        }
        filled
    }

    /// What the votes come to; `None` while more are needed.
    pub fn outcome(&self, votes: &[Vote<'_>]) -> Option<Verdict> {
        let quorum = self.quorum as usize;
        let denials = votes.iter().filter(|vote| vote.verdict == Verdict::Deny).count();
        let enough = match self.denial {
            Denial::One => 1,
            Denial::Majority => quorum,
        };
        if denials >= enough {
            return Some(Verdict::Deny);
        }
        (self.approved(votes) >= quorum).then_some(Verdict::Approve)
    }

    /// Who sits on each seat, by index into `votes`: a largest matching, found by augmenting paths (there are at
    /// most [`LARGEST_QUORUM`] seats).
    fn seated(&self, votes: &[Vote<'_>]) -> Vec<Option<usize>> {
        let anyone = Seats { approver: String::new(), count: self.quorum };
        let kinds = if self.all_of.is_empty() { std::slice::from_ref(&anyone) } else { &self.all_of };
        let seats: Vec<&str> = kinds
            .iter()
            .flat_map(|kind| std::iter::repeat_n(kind.approver.as_str(), kind.count as usize))
            .collect();
        let mut taken: Vec<Option<usize>> = vec![None; seats.len()];
        for (index, vote) in votes.iter().enumerate() {
            if vote.verdict == Verdict::Approve {
                place(index, votes, &seats, &mut taken, &mut vec![false; seats.len()]);
            }
        }
        taken
    }
}

/// Finds a seat for a voter, asking those who sit there to move.
fn place(
    voter: usize,
    votes: &[Vote<'_>],
    seats: &[&str],
    taken: &mut [Option<usize>],
    asked: &mut [bool],
) -> bool {
    for (seat, approver) in seats.iter().enumerate() {
        let fits = approver.is_empty() || votes[voter].fits.iter().any(|fit| fit == approver);
        if !fits || asked[seat] {
            continue;
        }
        asked[seat] = true;
        let free = match taken[seat] {
            None => true,
            Some(other) => place(other, votes, seats, taken, asked),
        };
        if free {
            taken[seat] = Some(voter);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(json: serde_json::Value) -> Asks {
        let mut all = serde_json::json!({"approvers": ["role:m", "role:s"], "quorum": 1,
                                         "valid_seconds": 60, "expires_seconds": 60});
        all.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn outcome(asks: &Asks, votes: &[(Verdict, &[&str])]) -> Option<Verdict> {
        let fits: Vec<Vec<String>> =
            votes.iter().map(|(_, fits)| fits.iter().map(|fit| (*fit).to_owned()).collect()).collect();
        let votes: Vec<Vote<'_>> =
            votes.iter().zip(&fits).map(|((verdict, _), fits)| Vote { verdict: *verdict, fits }).collect();
        asks.outcome(&votes)
    }

    use Verdict::{Approve as Yes, Deny as No};

    #[test]
    fn seats_are_filled_by_distinct_people_of_the_right_kind() {
        let asks = asks(serde_json::json!({"quorum": 3,
            "all_of": [{"approver": "role:m", "count": 1}, {"approver": "role:s", "count": 2}]}));
        asks.check().unwrap();
        let (m, s, both): (&[&str], &[&str], &[&str]) = (&["role:m"], &["role:s"], &["role:m", "role:s"]);
        assert_eq!(outcome(&asks, &[(Yes, m), (Yes, s), (Yes, s)]), Some(Yes));
        assert_eq!(outcome(&asks, &[(Yes, s), (Yes, s), (Yes, s)]), None, "no manager");
        assert_eq!(outcome(&asks, &[(Yes, m), (Yes, m), (Yes, s)]), None, "one of security is missing");
        assert_eq!(outcome(&asks, &[(Yes, both), (Yes, s)]), None, "one person, one seat");
        // Who fits both kinds came first and sat down as manager; the manager who follows makes them move.
        assert_eq!(outcome(&asks, &[(Yes, both), (Yes, s), (Yes, m)]), Some(Yes));
        assert_eq!(outcome(&asks, &[(Yes, both), (Yes, both), (Yes, both)]), Some(Yes));
        assert_eq!(outcome(&asks, &[(Yes, m), (Yes, s), (No, s)]), Some(No));
    }

    #[test]
    fn one_denial_ends_it_or_a_majority_by_rule() {
        let any: &[&str] = &[];
        let one = asks(serde_json::json!({"quorum": 2}));
        assert_eq!(outcome(&one, &[(Yes, any), (No, any)]), Some(No));
        let majority = asks(serde_json::json!({"quorum": 2, "denial": "majority"}));
        assert_eq!(outcome(&majority, &[(Yes, any), (No, any)]), None);
        assert_eq!(outcome(&majority, &[(Yes, any), (No, any), (Yes, any)]), Some(Yes));
        assert_eq!(outcome(&majority, &[(No, any), (Yes, any), (No, any)]), Some(No));
    }

    #[test]
    fn what_cannot_be_met_is_refused() {
        for wrong in [
            serde_json::json!({"quorum": 2, "all_of": [{"approver": "role:m", "count": 1}]}),
            serde_json::json!({"quorum": 1, "all_of": [{"approver": "role:x", "count": 1}]}),
            serde_json::json!({"quorum": 0}),
            serde_json::json!({"approvers": []}),
            serde_json::json!({"approvers": ["everyone"]}),
            serde_json::json!({"grant_seconds": 0}),
            serde_json::json!({"grant_seconds": 86_401}),
            serde_json::json!({"break_glass": {"reason": "  "}}),
            serde_json::json!({"break_glass": {"reason": "r"}, "grant_seconds": 60}),
        ] {
            assert!(asks(wrong.clone()).check().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_asked_for_is_not_written() {
        let plain = serde_json::to_value(asks(serde_json::json!({}))).unwrap();
        assert_eq!(plain.as_object().unwrap().len(), 4, "fingerprints of plain demands stay what they were");
    }
}
