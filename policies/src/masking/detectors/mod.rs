//! What counts as a value to mask, and what takes its place: fifteen built-in detectors, the policy author's own
//! patterns, and their actions. Each detector has its file, with its source and its bound.
//!
//! Leaves to others: texts that grow ([`Scan`](super::text::Scan)), and finding texts in JSON and streams.

mod action;
mod context;
mod crypto_address;
mod custom;
mod date_of_birth;
mod email;
mod engine;
mod iban;
mod ip_address;
mod mac_address;
mod moment;
mod numbers;
mod payment_card;
mod phone;
mod region;
mod secrets;
mod uk_nhs;
mod us_bank_routing;
mod us_driver_license;
mod us_itin;
mod us_passport;
mod us_ssn;
mod view;

use std::sync::Arc;

pub use action::Action;
pub use engine::NAMES as BUILT_IN;
pub(crate) use engine::{Finding, LONGEST, Next, Seen, Table, Triggers};
pub(crate) use moment::is_moment;
pub(crate) use region::Region;
pub(crate) use view::View;

use crate::masking::config::{CustomConfig, DetectorConfig};
use crate::masking::text::MAX_SPREAD;
use crate::policy::{At, Environment, Problems, Size};
use context::Context;
use custom::Pattern;
use engine::{CHAIN, Enabled, Engine, NAMES};

/// The most custom patterns in one policy.
const MOST_CUSTOM: usize = 48;

/// Which detector: stable for one compiled policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DetectorId(u8);

impl DetectorId {
    /// A dense index, for tables of counts: less than [`Detectors::len`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The name of a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label<'n> {
    /// The name itself; empty where nothing names the value.
    pub(crate) name: &'n [u8],
    /// Whether it says nothing about the value but what kind of number it may be: no secret.
    pub(crate) plain: bool,
}

/// A compiled selection of detectors and their actions. Cheap to clone, shared by all streams.
#[derive(Debug, Clone)]
pub struct Detectors {
    shared: Arc<Shared>,
    engine: Arc<Engine>,
    actions: Arc<[Action]>,
}

/// What all selections of one policy have in common.
#[derive(Debug)]
struct Shared {
    names: Vec<Box<str>>,
    patterns: Vec<(DetectorId, Pattern)>,
}

impl Default for Detectors {
    /// All built-in detectors, each with its label as the replacement.
    fn default() -> Self {
        Self::build(NAMES.iter().map(|name| (*name).into()).collect(), Vec::new(), |_| true, Vec::new())
    }
}

impl Detectors {
    /// Compiles the fields `detectors` (absent: all), `custom` and `max_hold` of the section at `at`.
    pub fn compile(
        selection: Option<&[DetectorConfig]>,
        custom: &[CustomConfig],
        max_hold: Option<Size>,
        at: &At,
        environment: Environment<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let mut sound = true;
        let mut actions: Vec<Option<Action>> = vec![None; NAMES.len()];
        let mut chosen = [selection.is_none(); NAMES.len()];
        for (index, config) in selection.unwrap_or_default().iter().enumerate() {
            let place = at.member("detectors").index(index);
            let Some(id) = NAMES.iter().position(|known| *known == config.name) else {
                unknown(&config.name, &place, problems);
                sound = false;
                continue;
            };
            let action = Action::compile(
                config.with.as_deref(),
                config.action.as_ref(),
                &config.name,
                &place,
                environment,
                problems,
            );
            sound &= action.is_some();
            if let (Some(chosen), Some(place)) = (chosen.get_mut(id), actions.get_mut(id)) {
                *chosen = true;
                *place = action;
            }
        }
        if custom.len() > MOST_CUSTOM {
            problems.add(&at.member("custom"), format!("more than {MOST_CUSTOM} patterns"));
            return None;
        }
        let max_hold = max_hold.map(|size| size.0);
        if max_hold.is_some_and(|bytes| bytes == 0 || bytes > custom::MOST_HOLD) {
            let most = custom::MOST_HOLD >> 10;
            problems.add(&at.member("max_hold"), format!("has to be between 1 B and {most} KiB"));
            return None;
        }
        let mut names: Vec<Box<str>> = NAMES.iter().map(|name| (*name).into()).collect();
        let mut patterns = Vec::new();
        for (index, config) in custom.iter().enumerate() {
            let place = at.member("custom").index(index);
            if !is_name(&config.name) {
                problems.add(&place.member("name"), "has to be lower-case letters, digits and `_`");
                sound = false;
            }
            if names.iter().any(|name| **name == *config.name) {
                problems
                    .add(&place.member("name"), format!("`{}` is the name of another detector", config.name));
                sound = false;
            }
            let action = Action::compile(
                config.with.as_deref(),
                config.action.as_ref(),
                &config.name,
                &place,
                environment,
                problems,
            );
            sound &= action.is_some();
            actions.push(action);
            let id = DetectorId(u8::try_from(names.len()).unwrap_or(u8::MAX));
            names.push(config.name.as_str().into());
            match Pattern::compile(&config.pattern, max_hold) {
                Ok(pattern) => patterns.push((id, pattern)),
                Err(what) => {
                    problems.add(&place.member("pattern"), what);
                    sound = false;
                }
            }
        }
        sound.then(|| Self::build(names, patterns, |id| chosen.get(id).copied().unwrap_or(true), actions))
    }

    fn build(
        names: Vec<Box<str>>,
        patterns: Vec<(DetectorId, Pattern)>,
        chosen: impl Fn(usize) -> bool,
        actions: Vec<Option<Action>>,
    ) -> Self {
        let enabled = (0..names.len()).filter(|id| chosen(*id)).fold(0u64, |set, id| set | 1 << id);
        let mut actions = actions.into_iter();
        let actions = names
            .iter()
            .map(|name| actions.next().flatten().unwrap_or_else(|| Action::label(name)))
            .collect();
        let engine = Arc::new(Engine::new(Enabled(enabled), &patterns));
        Self { shared: Arc::new(Shared { names, patterns }), engine, actions }
    }

    /// These detectors without some: what an exemption leaves.
    pub fn without(&self, exempt: &[DetectorId]) -> Self {
        let enabled = exempt.iter().fold(self.engine.enabled().0, |set, id| set & !(1 << id.0));
        let engine = Arc::new(Engine::new(Enabled(enabled), &self.shared.patterns));
        Self { engine, ..self.clone() }
    }

    /// One of these detectors alone.
    pub(crate) fn only(&self, detector: DetectorId) -> Self {
        let engine = Arc::new(Engine::new(Enabled(1 << detector.0), &self.shared.patterns));
        Self { engine, ..self.clone() }
    }

    /// The detector of that name, built-in or custom, enabled or not.
    pub fn find(&self, name: &str) -> Option<DetectorId> {
        let index = self.shared.names.iter().position(|known| **known == *name)?;
        u8::try_from(index).ok().map(DetectorId)
    }

    /// The name of a detector as the policy writes it.
    pub fn name(&self, detector: DetectorId) -> &str {
        self.shared.names.get(detector.index()).map_or("", |name| name)
    }

    /// How many detectors there are, enabled or not: every [`DetectorId::index`] is less.
    pub fn len(&self) -> usize {
        self.shared.names.len()
    }

    /// Whether no detector looks: every text is clear.
    pub fn is_empty(&self) -> bool {
        self.engine.enabled().0 == 0
    }

    /// All detectors with their names, enabled or not.
    pub fn iter(&self) -> impl Iterator<Item = (DetectorId, &str)> {
        (0u8..).map(DetectorId).zip(self.shared.names.iter().map(|name| &**name))
    }

    /// Whether this detector looks.
    pub fn is_enabled(&self, detector: DetectorId) -> bool {
        self.engine.enabled().has(detector)
    }

    /// The most bytes that one text holds back, whatever comes: the longest value, or chain of overlapping values, with
    /// every byte dressed up as a full-width form among zero-width characters.
    pub fn longest_hold(&self) -> usize {
        let enabled = |id: usize| self.engine.enabled().0 >> id & 1 == 1;
        let built_in =
            LONGEST.iter().enumerate().filter(|(id, _)| enabled(*id)).map(|(_, bytes)| *bytes).max();
        let custom = self.shared.patterns.iter().map(|(_, pattern)| pattern.max_hold()).max();
        (CHAIN + built_in.max(custom).unwrap_or(0)) * MAX_SPREAD
    }

    /// Writes what takes the place of `value`, which `detector` found.
    pub fn render(&self, detector: DetectorId, value: &[u8], output: &mut Vec<u8>) {
        if let Some(action) = self.actions.get(detector.index()) {
            action.render(value, output);
        }
    }

    /// Writes what takes the place of a value without a bound, which `detector` found.
    pub fn render_open(&self, detector: DetectorId, output: &mut Vec<u8>) {
        if let Some(action) = self.actions.get(detector.index()) {
            action.render_open(output);
        }
    }

    /// What comes next in `view`, of a text with `active` in it.
    pub(crate) fn next(&self, view: &View<'_>, active: Seen) -> Next {
        self.engine.next(view, active, &self.shared.patterns)
    }

    /// What every byte may be.
    pub(crate) fn table(&self) -> &Table {
        self.engine.table()
    }

    /// What the name of a value says.
    pub(crate) fn label<'n>(&self, name: &'n [u8]) -> Label<'n> {
        Label { name, plain: self.engine.is_plain_label(name) }
    }

    /// What of a `text` at hand, called `label`, may begin a value, if `seen` is all that it has; none where nothing can be
    /// found.
    pub(crate) fn glance(&self, label: Label<'_>, text: &[u8], seen: Seen) -> Seen {
        let active = self.engine.glance(text, seen.triggers);
        let named = active.is_none() && !label.plain && text.len() >= secrets::LEAST;
        seen.only(if named { Triggers::ALL } else { active })
    }

    /// Whether this name says nothing about what it names: no secret, no kind of number.
    pub(crate) fn is_silent(&self, label: Label<'_>) -> bool {
        let kinds = [
            date_of_birth::WORDS,
            phone::WORDS,
            uk_nhs::WORDS,
            us_bank_routing::WORDS,
            us_driver_license::WORDS,
            us_passport::WORDS,
            us_ssn::WORDS,
        ];
        let context = Context::of(label.name);
        label.plain && !kinds.iter().any(|words| context.has(words))
    }

    /// Whether a number of at most six digits called `label` is nobody's on that account: no secret, no licence.
    pub(crate) fn is_plain_number(&self, label: Label<'_>) -> bool {
        label.plain && !us_driver_license::may_be_named(label.name)
    }

    /// The same detectors, looking at every byte of interest closely: what glances are compared with.
    #[cfg(test)]
    pub(crate) fn thorough(&self) -> Self {
        let engine = Engine::new(self.engine.enabled(), &self.shared.patterns).thorough();
        Self { engine: Arc::new(engine), ..self.clone() }
    }

    /// How many bytes of `text` the open value covers, and whether it ends with them.
    pub(crate) fn go_on(&self, region: &mut Region, text: &[u8]) -> (usize, bool) {
        region.go_on(text, |index, state, byte| {
            self.shared.patterns.get(index).and_then(|(_, pattern)| pattern.go_on(state, byte))
        })
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty() && name.bytes().all(allowed)
}

/// No detector has this name: says which ones there are.
fn unknown(name: &str, at: &At, problems: &mut Problems) {
    let likeness = |known: &str| strsim::jaro_winkler(known, name);
    let near = NAMES.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    problems.add_with_hint(
        at,
        format!("no detector is named `{name}`"),
        format!("did you mean `{}`? there are {}", near.unwrap_or(&"email"), NAMES.join(", ")),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(section: serde_json::Value) -> Result<Detectors, String> {
        let config: crate::masking::config::Config =
            serde_json::from_value(section).map_err(|e| e.to_string())?;
        let mut problems = Problems::new();
        let at = At::root().member("masking");
        let environment: Environment<'_> = &|name| (name == "KEY").then(|| "k".to_owned());
        Detectors::compile(
            config.detectors.as_deref(),
            &config.custom,
            config.max_hold,
            &at,
            environment,
            &mut problems,
        )
        .ok_or_else(|| problems.to_string())
    }

    #[test]
    fn only_selected_detectors_look_and_an_empty_list_selects_none() {
        let detectors = compile(serde_json::json!({"detectors": ["email"]})).unwrap();
        let enabled: Vec<_> =
            detectors.iter().filter(|(id, _)| detectors.is_enabled(*id)).map(|(_, name)| name).collect();
        assert_eq!(enabled, ["email"]);
        assert!(compile(serde_json::json!({"detectors": []})).unwrap().is_empty());
        assert!(!compile(serde_json::json!({})).unwrap().is_empty());
    }

    #[test]
    fn every_problem_is_named_with_its_place() {
        let wrong = serde_json::json!({
            "detectors": ["emial", {"name": "iban", "action": {"hash": {"key": {"env": "NONE"}}}}],
            "custom": [
                {"name": "email", "pattern": "x"},
                {"name": "Two Words", "pattern": "("},
                {"name": "empty", "pattern": "x*"},
                {"name": "large", "pattern": "(?:[a-z]{0,100}[0-9]){0,100}x"},
            ],
        });
        let problems = compile(wrong).map(|_| ()).unwrap_err();
        for expected in [
            "masking.detectors[0]: no detector is named `emial` (did you mean `email`?",
            "masking.detectors[1].action.hash.key: the environment has no `NONE`",
            "masking.custom[0].name: `email` is the name of another detector",
            "masking.custom[1].name: has to be lower-case letters, digits and `_`",
            "masking.custom[1].pattern: ",
            "masking.custom[2].pattern: matches the empty text",
            "masking.custom[3].pattern: needs an automaton of more than 1024 KiB",
        ] {
            assert!(problems.contains(expected), "{expected} in {problems}");
        }
    }

    #[test]
    fn an_exemption_takes_detectors_away_and_leaves_the_others() {
        let all = Detectors::default();
        let email = all.find("email").unwrap();
        let rest = all.without(&[email]);
        assert!(!rest.is_enabled(email) && all.is_enabled(email));
        assert_eq!(rest.name(email), "email");
        assert!(rest.is_enabled(all.find("iban").unwrap()));
        assert_eq!(all.find("nobody"), None);
    }
}
