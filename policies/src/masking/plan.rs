//! The compiled section `masking`, and the part of it that holds for one caller.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use super::Media;
use super::config::{ActionConfig, Config, LimitsConfig, Unmaskable};
use super::detectors::{Action, DetectorId, Detectors};
use super::masker::Masker;
use super::path::{LONGEST_NAME, MOST_SEGMENTS, Path, Paths};
use super::rules::{Exemption, Field, Limits, Rules, Shared, Spare, lower_case};
use crate::access::Condition;
use crate::identity::Identity;
use crate::policy::{At, Environment, Problems, Size};

/// Most exemptions in one policy: one bit each.
const MOST_EXEMPTIONS: usize = 64;
/// Most plans kept ready for callers who share their exemptions.
const MOST_PLANS: usize = 64;

/// The compiled section `masking`, shared by all streams.
#[derive(Clone)]
pub struct Masking {
    inner: Arc<Inner>,
}

struct Inner {
    unmaskable: Unmaskable,
    shared: Arc<Shared>,
    detectors: Detectors,
    exempt: Vec<Exempt>,
    everyone: Plan,
    /// Plans by the set of exemptions that hold.
    plans: Mutex<BTreeMap<u64, Plan>>,
}

impl fmt::Debug for Masking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masking").field("unmaskable", &self.inner.unmaskable).finish_non_exhaustive()
    }
}

/// Who is exempt, from what.
struct Exempt {
    when: Condition,
    detectors: Vec<DetectorId>,
    fields: Vec<usize>,
    action: Option<Action>,
}

impl Masking {
    /// Checks and compiles the section; `None` where a problem was added.
    pub fn compile(
        config: &Config,
        at: &At,
        environment: Environment<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let mut compiler = Compiler { at, environment, problems };
        let detectors = compiler.detectors(config);
        let fields = compiler.fields(config);
        let limits = compiler.limits(&config.limits);
        let exempt = match (&detectors, &fields) {
            (Some(detectors), Some(fields)) => compiler.exempt(config, detectors, &fields.rules),
            _ => None,
        };
        let (detectors, fields, limits, exempt) = (detectors?, fields?, limits?, exempt?);
        let shared = Arc::new(Shared {
            fields: fields.rules,
            paths: fields.paths,
            keys: fields.keys,
            malformed: config.malformed,
            limits,
            built_in_alone: config.custom.is_empty(),
        });
        let everyone = Plan {
            rules: Arc::new(Rules {
                shared: Arc::clone(&shared),
                detectors: detectors.clone(),
                instead: Vec::new(),
                exempt_fields: Vec::new(),
                names: Spare::default(),
            }),
        };
        Some(Self {
            inner: Arc::new(Inner {
                unmaskable: config.unmaskable,
                shared,
                detectors,
                exempt,
                everyone,
                plans: Mutex::default(),
            }),
        })
    }

    /// What is masked for this caller; without an identity, nothing is exempt.
    pub fn plan(&self, identity: Option<&Identity>) -> Plan {
        let inner = &*self.inner;
        let held = identity.map_or(0, |identity| {
            inner.exempt.iter().enumerate().fold(0_u64, |held, (index, exempt)| {
                held | (u64::from(exempt.when.holds_for_identity(identity)) << index)
            })
        });
        if held == 0 {
            return inner.everyone.clone();
        }
        let build = || Plan { rules: Arc::new(inner.without(held)) };
        // A poisoned lock only means that a plan is built again.
        let Ok(mut plans) = inner.plans.lock() else { return build() };
        if plans.len() >= MOST_PLANS && !plans.contains_key(&held) {
            plans.clear();
        }
        plans.entry(held).or_insert_with(build).clone()
    }

    /// Whether a body that cannot be read may leave as it is.
    pub fn unmaskable_passes(&self) -> bool {
        self.inner.unmaskable == Unmaskable::Pass
    }

    /// The detectors that hold for everyone.
    pub fn detectors(&self) -> &Detectors {
        &self.inner.detectors
    }
}

impl Inner {
    /// The rules for a caller for whom these exemptions hold.
    fn without(&self, held: u64) -> Rules {
        let mut detectors = self.detectors.clone();
        let mut instead = Vec::new();
        let mut exempt_fields = Vec::new();
        for exempt in self
            .exempt
            .iter()
            .enumerate()
            .filter(|(index, _)| held >> index & 1 == 1)
            .map(|(_, exempt)| exempt)
        {
            let exemption = match &exempt.action {
                None => {
                    detectors = detectors.without(&exempt.detectors);
                    Exemption::Pass
                }
                Some(action) => {
                    instead.extend(exempt.detectors.iter().map(|detector| (*detector, action.clone())));
                    Exemption::Instead(action.clone())
                }
            };
            exempt_fields.extend(exempt.fields.iter().map(|field| (*field, exemption.clone())));
        }
        Rules { shared: Arc::clone(&self.shared), detectors, instead, exempt_fields, names: Spare::default() }
    }
}

struct Fields {
    rules: Vec<Field>,
    paths: Paths,
    keys: BTreeMap<Vec<u8>, usize>,
}

/// Compiles the parts of the section, each with its own problems.
struct Compiler<'a> {
    at: &'a At,
    environment: Environment<'a>,
    problems: &'a mut Problems,
}

impl Compiler<'_> {
    fn detectors(&mut self, config: &Config) -> Option<Detectors> {
        Detectors::compile(
            config.detectors.as_deref(),
            &config.custom,
            config.max_hold,
            self.at,
            self.environment,
            self.problems,
        )
    }

    fn field(
        &mut self,
        name: &str,
        with: Option<&str>,
        action: Option<&ActionConfig>,
        at: &At,
    ) -> Option<Field> {
        let action = Action::compile(with, action, "masked", at, self.environment, self.problems)?;
        Some(Field { name: name.into(), action })
    }

    fn fields(&mut self, config: &Config) -> Option<Fields> {
        let mut sound = true;
        let mut fields = Fields { rules: Vec::new(), paths: Paths::default(), keys: BTreeMap::new() };
        for (index, field) in config.fields.iter().enumerate() {
            let place = self.at.member("fields").index(index);
            let rule = self.field(&field.path, field.with.as_deref(), field.action.as_ref(), &place);
            let path =
                Path::parse(&field.path).map_err(|what| self.problems.add(&place.member("path"), what)).ok();
            let (Some(rule), Some(path)) = (rule, path) else {
                sound = false;
                continue;
            };
            if !fields.paths.add(path, fields.rules.len()) {
                self.problems.add_with_hint(
                    &place.member("path"),
                    format!("all paths together have more than {MOST_SEGMENTS} segments"),
                    "member names that are masked wherever they stand go into `keys`",
                );
                return None;
            }
            fields.rules.push(rule);
        }
        for (index, key) in config.keys.iter().enumerate() {
            let place = self.at.member("keys").index(index);
            if key.name.is_empty() || key.name.len() > LONGEST_NAME {
                self.problems.add(&place, format!("a member name has 1 to {LONGEST_NAME} bytes"));
                sound = false;
                continue;
            }
            let Some(rule) = self.field(&key.name, key.with.as_deref(), key.action.as_ref(), &place) else {
                sound = false;
                continue;
            };
            if fields.keys.insert(lower_case(key.name.as_bytes()), fields.rules.len()).is_some() {
                self.problems.add(&place, format!("`{}` is there already", key.name));
                sound = false;
            }
            fields.rules.push(rule);
        }
        sound.then_some(fields)
    }

    fn limits(&mut self, config: &LimitsConfig) -> Option<Limits> {
        let at = self.at.member("limits");
        let mut sound = true;
        let mut within = |name: &str, given: Option<usize>, absent: usize, least: usize, most: usize| {
            let value = given.unwrap_or(absent);
            if value < least || value > most {
                self.problems.add(&at.member(name), format!("{value} is not between {least} and {most}"));
                sound = false;
            }
            value
        };
        let bytes = |size: Option<Size>| size.map(|size| size.0);
        let limits = Limits {
            depth: within("depth", config.depth, 128, 1, 1024),
            embedded: within("embedded", config.embedded, 4, 0, 8),
            held: within("held", bytes(config.held), 256 << 10, 16 << 10, 16 << 20),
            event: within("event", bytes(config.event), 32 << 10, 1 << 10, 1 << 20),
            lanes: within("lanes", config.lanes, 64, 1, 4096),
        };
        sound.then_some(limits)
    }

    fn exempt(&mut self, config: &Config, detectors: &Detectors, rules: &[Field]) -> Option<Vec<Exempt>> {
        let at = self.at.member("exempt");
        if config.exempt.len() > MOST_EXEMPTIONS {
            self.problems.add(&at, format!("more than {MOST_EXEMPTIONS} exemptions"));
            return None;
        }
        let mut sound = true;
        let mut compiled = Vec::new();
        for (index, exempt) in config.exempt.iter().enumerate() {
            let place = at.index(index);
            let when = Condition::compile(&exempt.when, &["identity"], &place.member("when"), self.problems);
            let mut ids = Vec::new();
            for (index, name) in exempt.detectors.iter().enumerate() {
                match detectors.find(name) {
                    Some(id) => ids.push(id),
                    None => {
                        sound = false;
                        self.problems.add(
                            &place.member("detectors").index(index),
                            format!("no detector is named `{name}`"),
                        );
                    }
                }
            }
            // Paths come first among the rules, then keys.
            let (paths, keys) = rules.split_at(config.fields.len().min(rules.len()));
            let mut fields = Vec::new();
            for (list, names, known, offset) in
                [("fields", &exempt.fields, paths, 0), ("keys", &exempt.keys, keys, paths.len())]
            {
                for (index, name) in names.iter().enumerate() {
                    match known
                        .iter()
                        .position(|field| lower_case(field.name.as_bytes()) == lower_case(name.as_bytes()))
                    {
                        Some(rule) => fields.push(offset + rule),
                        None => {
                            sound = false;
                            self.problems.add_with_hint(
                                &place.member(list).index(index),
                                format!("`{name}` is not in `{list}`"),
                                "an exemption names what the section masks, spelled the same",
                            );
                        }
                    }
                }
            }
            let action = exempt.action.as_ref().map(|action| {
                Action::compile(None, Some(action), "masked", &place, self.environment, self.problems)
            });
            sound &= !matches!(action, Some(None));
            let action = action.flatten();
            match when {
                Some(when) => compiled.push(Exempt { when, detectors: ids, fields, action }),
                None => sound = false,
            }
        }
        sound.then_some(compiled)
    }
}

/// What is masked for one caller. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Plan {
    rules: Arc<Rules>,
}

impl Plan {
    /// A masker for one body.
    pub fn open(&self, media: Media) -> Masker {
        Masker::new(Arc::clone(&self.rules), media)
    }

    /// A text for people to read: `body`, masked by the same rules, cut after `limit` bytes.
    pub fn preview(&self, body: &[u8], limit: usize) -> Preview {
        let media = match body.trim_ascii_start().first() {
            Some(b'{' | b'[' | b'"') => Media::Json,
            _ => Media::Text,
        };
        let mut masker = self.open(media);
        let mut masked = Vec::new();
        if masker.push(body, &mut masked).and_then(|()| masker.finish(&mut masked)).is_err() {
            return Preview { text: String::new(), truncated: true };
        }
        let mut text = String::from_utf8_lossy(&masked).into_owned();
        let truncated = text.len() > limit;
        text.truncate(text.floor_char_boundary(limit));
        Preview { text, truncated }
    }
}

/// A masked body, or its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The masked text; bytes that are no UTF-8 are replaced by U+FFFD.
    pub text: String,
    /// Whether the body goes on after the text.
    pub truncated: bool,
}
