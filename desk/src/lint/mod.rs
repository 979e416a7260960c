//! What would bite: reads the Envoy and Istio YAML around the filter and says where it works against it.
//!
//! [`Source`]s that are given together are judged together: a cluster may be defined in one and named in another. The
//! rules stand in [`rule`]; what they look at is gathered once, in [`Scene`]. Nothing here judges policies: that is
//! `policies`, whose problems are shown at their lines.

mod bodies;
mod clusters;
mod fix;
mod istio;
mod limits;
mod module;
mod routes;
mod rule;
mod scene;
mod show;

use graphwarden_trial::yaml::{self, Node, Place};

pub use fix::{Edit, Fixed, fix};
pub use rule::{RULES, Rule, Severity};
pub use show::{json, page, sarif, text};

use scene::Scene;

/// A file with its text.
#[derive(Debug, Clone)]
pub struct Source {
    /// The name that findings show.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// Something that would bite.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// How bad this one is.
    pub severity: Severity,
    /// Where.
    pub place: Place,
    /// What is wrong here.
    pub reason: String,
    /// What mends it here.
    pub mend: String,
    /// The mend as changes of the text, where it is safe.
    pub edits: Vec<Edit>,
}

/// A file that could not be read as YAML.
#[derive(Debug)]
pub struct Unreadable {
    /// Which of the sources.
    pub file: usize,
    /// Why not.
    pub error: yaml::ReadError,
}

/// Judges files together. Findings come in the order of files and lines.
pub fn lint(sources: &[Source]) -> Result<Vec<Finding>, Unreadable> {
    let mut documents = Vec::new();
    for (file, source) in sources.iter().enumerate() {
        documents.extend(yaml::read(&source.text, file).map_err(|error| Unreadable { file, error })?);
    }
    let scene = Scene::of(&documents);
    let mut findings = Findings { sources, list: Vec::new() };
    if scene.gates.is_empty() && !scene.is_fragment {
        findings.add(
            &rule::NO_GATE,
            Place { line: 1, column: 1, ..Place::default() },
            "no Graphwarden in here",
        );
    }
    module::check(&scene, &mut findings);
    istio::check(&scene, &mut findings);
    limits::check(&scene, &mut findings);
    bodies::check(&scene, &mut findings);
    clusters::check(&scene, &mut findings);
    routes::check(&scene, &mut findings);
    let mut list = findings.list;
    list.sort_by_key(|finding| {
        (finding.place.file, finding.place.line, finding.place.column, finding.rule.id)
    });
    list.dedup_by(|a, b| a.rule == b.rule && a.place == b.place && a.reason == b.reason);
    Ok(list)
}

/// Findings while they are gathered.
struct Findings<'a> {
    sources: &'a [Source],
    list: Vec<Finding>,
}

impl<'a> Findings<'a> {
    /// Adds a finding, with its rule's cure as the mend. What is returned can be made more exact.
    fn add(&mut self, rule: &'static Rule, place: Place, reason: impl Into<String>) -> Note<'_, 'a> {
        let finding = Finding {
            rule,
            severity: rule.severity,
            place,
            reason: reason.into(),
            mend: rule.cure.to_owned(),
            edits: Vec::new(),
        };
        self.list.push(finding);
        Note { sources: self.sources, finding: self.list.last_mut() }
    }

    /// A finding about a member that says the wrong thing, mended by another value.
    fn replace(
        &mut self,
        rule: &'static Rule,
        node: &Node,
        reason: impl Into<String>,
        value: &str,
    ) -> Note<'_, 'a> {
        self.add(rule, node.place, reason).edit(Edit::replace(node, value))
    }

    /// A finding about a mapping that lacks a member, mended by putting it in. The place is that of `anchor`.
    fn insert(
        &mut self,
        rule: &'static Rule,
        (place, map): (Place, &Node),
        reason: impl Into<String>,
        (before, member): (&str, &str),
    ) -> Note<'_, 'a> {
        let note = self.add(rule, place, reason);
        let edit = note
            .sources
            .get(map.place.file)
            .and_then(|source| Edit::insert(&source.text, map, before, member));
        note.edit(edit)
    }
}

/// A finding that was just added.
struct Note<'f, 'a> {
    sources: &'a [Source],
    finding: Option<&'f mut Finding>,
}

impl Note<'_, '_> {
    fn mild(mut self) -> Self {
        if let Some(finding) = &mut self.finding {
            finding.severity = Severity::Warning;
        }
        self
    }

    fn mend(mut self, mend: impl Into<String>) -> Self {
        if let Some(finding) = &mut self.finding {
            finding.mend = mend.into();
        }
        self
    }

    fn edit(mut self, edit: Option<Edit>) -> Self {
        if let Some(finding) = &mut self.finding {
            finding.edits.extend(edit);
        }
        self
    }
}
