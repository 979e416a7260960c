//! The masking of exchanges for which a rule obliges to more than the section `masking` says.
//!
//! A rule's `obligations.mask` is added to the section and compiled with it, once, at configuration; no exemption of
//! the section reaches what is added. Where the rules of several operations oblige, what all rules oblige to holds.

use std::collections::BTreeMap;

use super::problem::{At, Problems};
use super::values::Environment;
use crate::access::{self, MaskConfig, Obligations};
use crate::masking::{Config, Masking};

/// Most rules with a masking of their own: each has its own automata, in every worker.
const MOST: usize = 16;

/// The maskings that rules oblige to, by the rules' places.
#[derive(Debug, Default)]
pub(super) struct Stricter {
    by_rule: BTreeMap<usize, Masking>,
    by_several: Option<Masking>,
}

impl Stricter {
    /// Compiles what rules add to `base`. Every problem is added; `None` if there was one.
    pub(super) fn compile(
        access: &access::Config,
        base: &Config,
        at: &At,
        environment: Environment<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let known = problems.iter().count();
        let mut stricter = Self::default();
        let mut all = base.clone();
        for (place, rule) in access.rules.iter().enumerate() {
            let Some(mask) = rule.obligations.as_ref().and_then(|obligations| obligations.mask.as_ref())
            else {
                continue;
            };
            let at = at.member("rules").index(place).member("obligations").member("mask");
            if stricter.by_rule.len() == MOST {
                problems.add(&at, format!("more than {MOST} rules oblige to a masking of their own"));
                return None;
            }
            if *mask == MaskConfig::default() {
                problems.add(&at, "masks nothing besides");
                continue;
            }
            // By itself first, so that problems have their places.
            let alone = Config {
                detectors: Some(mask.detectors.clone()),
                fields: mask.fields.clone(),
                keys: mask.keys.clone(),
                custom: mask.custom.clone(),
                ..Config::default()
            };
            if Masking::compile(&alone, &at, environment, problems).is_none() {
                continue;
            }
            add(&mut all, mask);
            let mut together = base.clone();
            add(&mut together, mask);
            stricter.by_rule.extend(compiled(&together, &at, environment, problems).map(|all| (place, all)));
        }
        if stricter.by_rule.len() > 1 {
            stricter.by_several = compiled(&all, &at.member("rules"), environment, problems);
        }
        (problems.iter().count() == known).then_some(stricter)
    }

    /// The masking under these obligations, where they ask for one.
    pub(super) fn under(&self, obligations: &Obligations) -> Option<&Masking> {
        let mut masks = obligations.masks.iter();
        match (masks.next(), masks.next()) {
            (None, _) => None,
            (Some(place), None) => self.by_rule.get(place).or(self.by_several.as_ref()),
            (Some(_), Some(_)) => self.by_several.as_ref(),
        }
    }
}

/// The section and a rule's masking as one.
fn compiled(
    config: &Config,
    at: &At,
    environment: Environment<'_>,
    problems: &mut Problems,
) -> Option<Masking> {
    let mut own = Problems::new();
    let masking = Masking::compile(config, &At::root().member("masking"), environment, &mut own);
    if let Some(problem) = own.iter().next() {
        problems.add(at, format!("does not go together with the section `masking`: {}", problem.what));
    }
    masking.filter(|_| own.is_empty())
}

/// Adds a rule's masking to a section. What the section has already stays as it is, without its exemptions.
fn add(config: &mut Config, mask: &MaskConfig) {
    for exempt in &mut config.exempt {
        let detectors =
            mask.detectors.iter().map(|one| &one.name).chain(mask.custom.iter().map(|one| &one.name));
        let detectors: Vec<&String> = detectors.collect();
        exempt.detectors.retain(|name| !detectors.contains(&name));
        exempt.fields.retain(|path| !mask.fields.iter().any(|field| field.path == *path));
        exempt.keys.retain(|name| !mask.keys.iter().any(|key| key.name.eq_ignore_ascii_case(name)));
    }
    config.exempt.retain(|exempt| {
        !(exempt.detectors.is_empty() && exempt.fields.is_empty() && exempt.keys.is_empty())
    });
    if let Some(detectors) = &mut config.detectors {
        for detector in &mask.detectors {
            if !detectors.iter().any(|known| known.name == detector.name) {
                detectors.push(detector.clone());
            }
        }
    }
    for field in &mask.fields {
        if !config.fields.iter().any(|known| known.path == field.path) {
            config.fields.push(field.clone());
        }
    }
    for key in &mask.keys {
        if !config.keys.iter().any(|known| known.name.eq_ignore_ascii_case(&key.name)) {
            config.keys.push(key.clone());
        }
    }
    for custom in &mask.custom {
        if !config.custom.contains(custom) {
            config.custom.push(custom.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::masking::Media;

    fn compile(
        rules: serde_json::Value,
        masking: serde_json::Value,
    ) -> Result<(Stricter, Masking), Vec<String>> {
        let access: access::Config = serde_json::from_value(json!({"rules": rules})).unwrap();
        let base: Config = serde_json::from_value(masking).unwrap();
        let environment = |_: &str| None;
        let mut problems = Problems::new();
        let masking = Masking::compile(&base, &At::root().member("masking"), &environment, &mut problems);
        let stricter =
            Stricter::compile(&access, &base, &At::root().member("access"), &environment, &mut problems);
        match (stricter, masking) {
            (Some(stricter), Some(masking)) if problems.is_empty() => Ok((stricter, masking)),
            _ => Err(problems.iter().map(ToString::to_string).collect()),
        }
    }

    fn rule(name: &str, mask: &serde_json::Value) -> serde_json::Value {
        json!({"name": name, "operations": ["*"], "then": "allow", "obligations": {"mask": mask}})
    }

    fn masked(masking: &Masking, body: &str) -> String {
        let mut out = Vec::new();
        let mut masker = masking.plan(None).open(Media::Json);
        masker.push(body.as_bytes(), &mut out).unwrap();
        masker.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn under<'a>(of: &'a (Stricter, Masking), places: &[usize]) -> &'a Masking {
        let obligations =
            Obligations { before: false, masks: places.iter().copied().collect::<BTreeSet<_>>() };
        of.0.under(&obligations).unwrap_or(&of.1)
    }

    #[test]
    fn what_a_rule_obliges_to_is_masked_besides() {
        let rules = json!([
            rule("one", &json!({"keys": ["salary"], "detectors": ["email"]})),
            {"name": "two", "operations": ["*"], "then": "allow"},
            rule("three", &json!({"fields": [{"path": "$.street"}]})),
        ]);
        let both = compile(rules, json!({"detectors": ["us_ssn"], "keys": ["pin"]})).unwrap();
        let body = r#"{"pin":"1","salary":"9","street":"x","a":"uma@example.com 078-05-1120"}"#;
        let parts = |masking: &Masking| {
            let out = masked(masking, body);
            ["\"1\"", "\"9\"", "\"x\"", "uma@", "078-"].map(|part| out.contains(part))
        };
        assert_eq!(parts(under(&both, &[])), [false, true, true, true, false]);
        assert_eq!(parts(under(&both, &[0])), [false, false, true, false, false]);
        assert_eq!(parts(under(&both, &[2])), [false, true, false, true, false]);
        assert_eq!(parts(under(&both, &[0, 2])), [false, false, false, false, false]);
    }

    #[test]
    fn no_exemption_reaches_what_a_rule_obliges_to() {
        let masking = json!({
            "detectors": ["email"], "keys": ["salary"],
            "exempt": [{"when": "true", "detectors": ["email"], "keys": ["salary"]}],
        });
        let both = compile(json!([rule("one", &json!({"detectors": ["email"]}))]), masking).unwrap();
        let identity = crate::identity::Identity {
            issuer: String::new(),
            subject: "u".to_owned(),
            name: None,
            email: None,
            roles: Vec::new(),
            groups: Vec::new(),
            actor: crate::identity::Actor::Person,
            claims: serde_json::Map::new(),
            token: crate::identity::TokenFacts {
                jti: None,
                iat: None,
                exp: 0,
                alg: String::new(),
                kid: None,
                sha256: String::new(),
            },
        };
        let through = |masking: &Masking| {
            let mut out = Vec::new();
            let mut masker = masking.plan(Some(&identity)).open(Media::Json);
            masker.push(br#"{"salary":"9","a":"uma@example.com"}"#, &mut out).unwrap();
            masker.finish(&mut out).unwrap();
            let out = String::from_utf8(out).unwrap();
            (out.contains("\"9\""), out.contains("uma@"))
        };
        assert_eq!(through(under(&both, &[])), (true, true));
        assert_eq!(through(under(&both, &[0])), (true, false), "only what is obliged to is taken back");
    }

    #[test]
    fn problems_have_their_places() {
        for (mask, place) in [
            (json!({}), "access.rules[0].obligations.mask"),
            (json!({"detectors": ["emial"]}), "access.rules[0].obligations.mask.detectors[0]"),
            (json!({"fields": [{"path": "x"}]}), "access.rules[0].obligations.mask.fields[0]"),
        ] {
            let problems =
                compile(json!([rule("one", &mask)]), json!({"keys": ["a"]})).map(|_| ()).unwrap_err();
            assert!(problems.iter().any(|problem| problem.starts_with(place)), "{mask}: {problems:?}");
        }
    }
}
