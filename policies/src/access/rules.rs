//! The compiled section `access`: rules in order, and the decision they come to.

use std::collections::{BTreeMap, BTreeSet};

use super::condition::Condition;
use super::config::{Config, RuleConfig, Then};
use super::demand::{BREAK_GLASS_HEADER, break_glass_reason};
use super::scope::Judged;
use super::selection::{OperationKind, Selection, universe};
use super::vocabulary::RULE_NAMES;
use super::{ApprovalDemand, Call, Decision, Effect, Obligations, Ownership};
use crate::identity::Identity;
use crate::operation::{Facts, Operation, Request};
use crate::policy::{At, Problems};
use crate::reason::Reason;

/// Most rules: each costs every request.
const RULES_LIMIT: usize = 1_000;

/// Rules, ready to decide.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    headers: Vec<String>,
    ownership: Option<Ownership>,
    names_graph: bool,
}

#[derive(Debug, Clone)]
struct Rule {
    name: String,
    selection: Selection,
    when: Option<Condition>,
    effect: Effect,
    /// The kinds of operations, by their places in the universe, for which it fires whatever the request.
    always: BTreeSet<usize>,
    /// Its place in the policy.
    place: usize,
    /// Its obligations.
    before: bool,
    masks: bool,
}

/// A rule that another decides before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shadow<'a> {
    /// The name of the rule that decides.
    pub earlier: &'a str,
    /// The name of the other.
    pub later: &'a str,
    /// The other's place among the rules, from 0.
    pub place: usize,
}

/// What one operation came to, before several are joined.
#[derive(Debug, Clone, Copy)]
enum Outcome<'a> {
    Allow(&'a Rule),
    Approval(&'a Rule, &'a ApprovalDemand),
    Deny(Option<&'a Rule>),
}

impl Outcome<'_> {
    fn strictness(&self) -> u8 {
        match self {
            Self::Allow(_) => 0,
            Self::Approval(..) => 1,
            Self::Deny(_) => 2,
        }
    }

    fn oblige(&self, obligations: &mut Obligations) {
        if let Self::Allow(rule) | Self::Approval(rule, _) = self {
            obligations.before |= rule.before;
            obligations.masks.extend(rule.masks.then_some(rule.place));
        }
    }

    fn decision(&self, obligations: Obligations) -> Decision {
        match self {
            Self::Allow(rule) | Self::Approval(rule, _) => {
                Decision { effect: rule.effect.clone(), rule: Some(rule.name.clone()), obligations }
            }
            Self::Deny(Some(rule)) => Decision {
                effect: rule.effect.clone(),
                rule: Some(rule.name.clone()),
                obligations: Obligations::default(),
            },
            Self::Deny(None) => Decision {
                effect: Effect::Deny { reason: Reason::AccessDenied, message: None },
                rule: None,
                obligations: Obligations::default(),
            },
        }
    }
}

impl Rules {
    /// Compiles the section. Every problem is added; `None` if there was one.
    pub fn compile(config: &Config, at: &At, problems: &mut Problems) -> Option<Self> {
        let known = problems.iter().count();
        let ownership = config
            .ownership
            .as_ref()
            .and_then(|ownership| Ownership::compile(ownership, &at.member("ownership"), problems));
        let at = at.member("rules");
        if config.rules.len() > RULES_LIMIT {
            problems.add(&at, format!("more than {RULES_LIMIT} rules"));
            return None;
        }
        let mut names = BTreeSet::new();
        let mut compiled = Vec::new();
        for (index, rule) in config.rules.iter().enumerate() {
            let at = at.index(index);
            if rule.name.trim().is_empty()
                || rule.name.chars().count() > 200
                || rule.name.chars().any(char::is_control)
            {
                problems.add(&at.member("name"), "a rule needs a name of 1 to 200 printable characters");
            } else if !names.insert(rule.name.as_str()) {
                problems
                    .add(&at.member("name"), format!("the name `{}` is taken by an earlier rule", rule.name));
            }
            compiled.extend(Rule::compile(rule, index, &at, problems).map(|rule| (at, rule)));
        }
        report_dead(&compiled, problems);
        if problems.iter().count() != known {
            return None;
        }
        let rules: Vec<Rule> = compiled.into_iter().map(|(_, rule)| rule).collect();
        let headers: BTreeSet<String> = rules
            .iter()
            .filter_map(|rule| rule.when.as_ref())
            .flat_map(|when| when.headers().iter().cloned())
            .chain(rules.iter().filter(|rule| rule.breaks_glass()).map(|_| BREAK_GLASS_HEADER.to_owned()))
            .collect();
        let names_graph = rules.iter().filter_map(|rule| rule.when.as_ref()).any(Condition::names_graph);
        Some(Self { rules, headers: headers.into_iter().collect(), ownership, names_graph })
    }

    /// Whose things are whose, where the policy says.
    pub fn ownership(&self) -> Option<&Ownership> {
        self.ownership.as_ref()
    }

    /// Whether a rule needs to know graphs.
    pub fn names_graph(&self) -> bool {
        self.names_graph
    }

    /// Whether any rule asks people to agree, so that a service for that has to be there.
    pub fn asks_approval(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.effect, Effect::Approval(_)))
    }

    /// What the rules need to know about a call: `source` is the peer's address, `headers` are all pairs. Only
    /// headers that a rule names are copied; one that comes twice or is not UTF-8 counts as absent.
    pub fn call(&self, source: &str, headers: &[(Vec<u8>, Vec<u8>)]) -> Call {
        let mut named = BTreeMap::new();
        for name in &self.headers {
            let mut values = headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()));
            if let (Some((_, value)), None) = (values.next(), values.next())
                && let Ok(value) = std::str::from_utf8(value)
            {
                named.insert(name.clone(), value.to_owned());
            }
        }
        Call { source: source.to_owned(), headers: named }
    }

    /// Decides about a request. `now` is in seconds since the Unix epoch.
    ///
    /// Every operation has to be decided; the strictest outcome counts, and the obligations of all of them hold. Two
    /// operations that need different approvals are refused, because one approval cannot stand for both.
    pub fn decide(&self, identity: &Identity, request: &Request, call: &Call, now: u64) -> Decision {
        let mut joined: Option<Outcome<'_>> = None;
        let mut obligations = Obligations::default();
        for (operation, facts) in request.judged() {
            let outcome = self.judge(identity, Judged { request, operation, facts, call, now });
            outcome.oblige(&mut obligations);
            joined = Some(match (joined, outcome) {
                (Some(Outcome::Approval(one, demand)), Outcome::Approval(two, other))
                    if one.name != two.name && demand != other =>
                {
                    let message =
                        "the operations of this request need different approvals: send them one by one"
                            .to_owned();
                    return Decision {
                        effect: Effect::Deny { reason: Reason::AccessDenied, message: Some(message) },
                        rule: Some(one.name.clone()),
                        obligations: Obligations::default(),
                    };
                }
                (Some(earlier), later) if earlier.strictness() >= later.strictness() => earlier,
                (_, later) => later,
            });
        }
        joined.unwrap_or(Outcome::Deny(None)).decision(obligations)
    }

    /// The first rule that matches decides about one operation. A condition that fails could have been true or
    /// false: a denial is taken for true, a permission for false, and an approval for both, so that what follows
    /// it can only make the outcome stricter.
    fn judge<'a>(&'a self, identity: &Identity, judged: Judged<'_>) -> Outcome<'a> {
        let mut doubtful: Option<Outcome<'a>> = None;
        let at_least = |outcome: Outcome<'a>, doubtful: Option<Outcome<'a>>| match doubtful {
            Some(doubtful) if doubtful.strictness() >= outcome.strictness() => doubtful,
            _ => outcome,
        };
        let reason = break_glass_reason(judged.call.headers.get(BREAK_GLASS_HEADER).map(String::as_str));
        for rule in self.rules.iter().filter(|rule| rule.selection.covers(judged.operation)) {
            if rule.breaks_glass() && reason.is_none() {
                continue;
            }
            let held = match &rule.when {
                None => Some(true),
                Some(when) => when.evaluate(identity, Some(judged)),
            };
            match (&rule.effect, held) {
                (_, Some(false)) | (Effect::Allow, None) => {}
                (Effect::Allow, Some(true)) => return at_least(Outcome::Allow(rule), doubtful),
                (Effect::Deny { .. }, _) => return Outcome::Deny(Some(rule)),
                (Effect::Approval(demand), Some(true)) => {
                    return at_least(Outcome::Approval(rule, demand), doubtful);
                }
                // In doubt nobody goes past approvers.
                (Effect::Approval(demand), None) if demand.break_glass => {}
                (Effect::Approval(demand), None) => {
                    doubtful = doubtful.or(Some(Outcome::Approval(rule, demand)));
                }
            }
        }
        Outcome::Deny(None)
    }

    /// Pairs of rules of which the first decides about some of what the second is about, whatever the request, and comes
    /// to another outcome. Such a pair can be meant, so it is no problem, but worth a warning.
    pub fn shadows(&self) -> Vec<Shadow<'_>> {
        let universe = universe();
        let mut shadows = Vec::new();
        for (index, later) in self.rules.iter().enumerate() {
            let earlier = self.rules.iter().take(index).find(|earlier| {
                let meets = |&index: &usize| {
                    universe.get(index).is_some_and(|kind| later.selection.covers_kind(kind))
                };
                earlier.differs(later) && earlier.always.iter().any(meets)
            });
            shadows.extend(earlier.map(|earlier| Shadow {
                earlier: &earlier.name,
                later: &later.name,
                place: later.place,
            }));
        }
        shadows
    }

    /// Each operation's decision on its own, in order, for explanations.
    pub fn explain(&self, identity: &Identity, request: &Request, call: &Call, now: u64) -> Vec<Decision> {
        let alone = |(operation, facts): (&Operation, &Facts)| {
            let outcome = self.judge(identity, Judged { request, operation, facts, call, now });
            let mut obligations = Obligations::default();
            outcome.oblige(&mut obligations);
            outcome.decision(obligations)
        };
        request.judged().map(alone).collect()
    }
}

impl Rule {
    fn compile(config: &RuleConfig, place: usize, at: &At, problems: &mut Problems) -> Option<Self> {
        let selection = Selection::compile(&config.operations, &at.member("operations"), problems);
        let at_when = at.member("when");
        let when = match &config.when {
            None => Some(None),
            Some(source) => Condition::compile(source, RULE_NAMES, &at_when, problems).map(Some),
        };
        let foreseen = when.as_ref().zip(selection.as_ref()).map(|(when, selection)| {
            let about = universe().into_iter().enumerate().filter(|(_, kind)| selection.covers_kind(kind));
            about
                .map(|(index, kind)| (index, when.as_ref().map_or(Some(true), |when| when.foresee(&kind))))
                .collect::<Vec<(usize, Option<bool>)>>()
        });
        let foreseen = foreseen.unwrap_or_default();
        if !foreseen.is_empty() && foreseen.iter().all(|(_, holds)| *holds == Some(false)) {
            let what = format!(
                "rule `{}` can never fire: its condition is false of everything that it is about",
                config.name
            );
            problems.add(&at_when, what);
        }
        let effect = match &config.then {
            Then::Allow => Some(Effect::Allow),
            Then::Deny(message) => {
                Some(Effect::Deny { reason: Reason::AccessDenied, message: message.clone() })
            }
            Then::Approval(approval) => {
                let at = at.member("then").member("approval");
                ApprovalDemand::compile(approval, &at, problems).map(Effect::Approval)
            }
            Then::BreakGlass(past) => {
                let at = at.member("then").member("break_glass");
                ApprovalDemand::compile_break_glass(past, &at, problems).map(Effect::Approval)
            }
        };
        let obligations = config.obligations.clone().unwrap_or_default();
        if matches!(config.then, Then::Deny(_)) && config.obligations.is_some() {
            problems.add(&at.member("obligations"), "what is denied has no exchange to oblige");
        }
        let effect = effect?;
        // A way past approvers is open only to who gives a reason.
        let breaks_glass = matches!(&effect, Effect::Approval(demand) if demand.break_glass);
        let fires = foreseen.iter().filter(|(_, holds)| *holds == Some(true) && !breaks_glass);
        Some(Self {
            name: config.name.clone(),
            always: fires.map(|(index, _)| *index).collect(),
            selection: selection?,
            when: when?,
            effect,
            place,
            before: obligations.before,
            masks: obligations.mask.is_some(),
        })
    }

    /// Whether it makes a difference which of the two decides.
    fn differs(&self, other: &Self) -> bool {
        self.effect != other.effect || self.before != other.before || self.masks || other.masks
    }

    /// Whether it matches only where the caller gives a reason.
    fn breaks_glass(&self) -> bool {
        matches!(&self.effect, Effect::Approval(demand) if demand.break_glass)
    }

    /// Whether `later` is never asked about what both are about: this one has the same condition, and where that fails
    /// the later one is no stricter.
    fn has_the_condition_of(&self, later: &Self) -> bool {
        let same =
            self.when.is_some() && self.when == later.when && !self.breaks_glass() && !later.breaks_glass();
        let no_stricter = match (&self.effect, &later.effect) {
            (Effect::Deny { .. }, _) | (Effect::Allow, Effect::Allow) => true,
            (Effect::Approval(_), other) => !matches!(other, Effect::Deny { .. }),
            (Effect::Allow, _) => false,
        };
        same && no_stricter
    }
}

/// Faults rules whose operations are all decided by earlier rules, whatever the request.
fn report_dead(rules: &[(At, Rule)], problems: &mut Problems) {
    let universe = universe();
    for (index, (at, rule)) in rules.iter().enumerate() {
        let earlier = || rules.iter().take(index).map(|(_, earlier)| earlier);
        let alike: Vec<&Rule> = earlier().filter(|earlier| earlier.has_the_condition_of(rule)).collect();
        let before = |(place, kind): (usize, &OperationKind)| {
            let mut alike = alike.iter().copied().filter(|alike| alike.selection.covers_kind(kind));
            earlier().find(|earlier| earlier.always.contains(&place)).or_else(|| alike.next())
        };
        let mine = universe.iter().enumerate().filter(|(_, kind)| rule.selection.covers_kind(kind));
        let decided: Option<Vec<&Rule>> = mine.map(before).collect();
        if let Some(first) = decided.and_then(|decided| decided.first().copied()) {
            problems.add_with_hint(
                at,
                format!("rule `{}` can never fire: rule `{}` decides first", rule.name, first.name),
                "move it up, or give the earlier rule a condition",
            );
        }
    }
}
