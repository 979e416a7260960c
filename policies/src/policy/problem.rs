//! What is wrong with a policy document, and where: every problem in one run.

use std::fmt;

/// One thing that is wrong with the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: the path of the field, such as `access.rules[2].when`.
    pub path: String,
    /// What is wrong: a lower-case fragment that holds no secret.
    pub what: String,
    /// What was probably meant, or what to write instead.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// All problems found so far. Compilation goes on after a problem, so that one run shows them all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// No problem yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a problem at `at`.
    pub fn add(&mut self, at: &At, what: impl Into<String>) {
        self.push(at, what.into(), None);
    }

    /// Adds a problem at `at` with a hint at what was meant.
    pub fn add_with_hint(&mut self, at: &At, what: impl Into<String>, hint: impl Into<String>) {
        self.push(at, what.into(), Some(hint.into()));
    }

    fn push(&mut self, at: &At, what: String, hint: Option<String>) {
        self.0.push(Problem { path: at.to_string(), what, hint });
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The problems in the order found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A place in the document, grown as compilation descends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct At(String);

impl At {
    /// The document itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// The member `name` of this place.
    pub fn member(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}.{name}", self.0)) }
    }

    /// The element `index` of this place.
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "policy" } else { &self.0 })
    }
}

/// The name nearest to `wrong`, if one is near enough to have been meant.
pub(crate) fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (name, strsim::jaro_winkler(wrong, name)))
        .filter(|(_, likeness)| *likeness > 0.75)
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_name_that_was_meant() {
        let known = ["issuers", "leeway", "upstream"];
        assert_eq!(nearest("isuers", known), Some("issuers"));
        assert_eq!(nearest("upstraem", known), Some("upstream"));
        assert_eq!(nearest("colour", known), None);
    }

    #[test]
    fn a_problem_names_its_place_and_its_cure() {
        let mut problems = Problems::new();
        let at = At::root().member("access").member("rules").index(2).member("when");
        problems.add_with_hint(&at, "unknown name", "did you mean `graph`?");
        problems.add(&At::root(), "not JSON");
        assert_eq!(
            problems.to_string(),
            "access.rules[2].when: unknown name (did you mean `graph`?); policy: not JSON"
        );
    }
}
