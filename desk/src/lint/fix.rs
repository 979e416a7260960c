//! Mending a text in place: values are replaced and members put in, and every other byte stays, comments too.
//!
//! A value that stands somewhere by alias or merge is not touched: it may be meant for the other places. A mended
//! text is read and judged again before it is believed.

use crate::lint::{Finding, Source, lint};
use graphwarden_trial::yaml::{Content, Node, Place};

/// A change of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Which of the sources.
    pub file: usize,
    /// First byte.
    pub start: usize,
    /// How many bytes go.
    pub len: usize,
    /// What comes.
    pub text: String,
}

impl Edit {
    /// Another text for a scalar.
    pub(super) fn replace(node: &Node, text: &str) -> Option<Self> {
        let plain = !matches!(node.content, Content::List(_) | Content::Map(_) | Content::Null);
        (plain && !node.place.borrowed && node.place.len > 0).then(|| Self {
            file: node.place.file,
            start: node.place.start,
            len: node.place.len,
            text: text.to_owned(),
        })
    }

    /// Other text from the first byte of one place to the last of another.
    pub(super) fn over(from: Place, to: Place, text: &str) -> Option<Self> {
        let whole = !from.borrowed && !to.borrowed && to.len > 0 && to.start >= from.start;
        whole.then(|| Self {
            file: from.file,
            start: from.start,
            len: to.start + to.len - from.start,
            text: text.to_owned(),
        })
    }

    /// `member` put into a mapping, before the member `before` or else the first.
    pub(super) fn insert(source: &str, map: &Node, before: &str, member: &str) -> Option<Self> {
        let anchor = map.member(before).or_else(|| map.members().first())?;
        if map.place.borrowed || anchor.place.borrowed {
            return None;
        }
        let is_flow = source.as_bytes().get(map.place.start) == Some(&b'{');
        let text = if is_flow {
            format!("{member}, ")
        } else {
            let indent = usize::try_from(anchor.place.column).ok()?.checked_sub(1)?;
            format!("{member}\n{}", " ".repeat(indent))
        };
        Some(Self { file: map.place.file, start: anchor.place.start, len: 0, text })
    }
}

/// What mending came to.
#[derive(Debug)]
pub struct Fixed {
    /// The sources, mended.
    pub sources: Vec<Source>,
    /// How many findings are gone.
    pub mended: usize,
    /// What is left.
    pub left: Vec<Finding>,
}

/// Mends what can be mended in safety, in rounds: one mend may show the next. The sources are readable.
pub fn fix(sources: &[Source]) -> Result<Fixed, super::Unreadable> {
    let mut sources = sources.to_vec();
    let mut findings = lint(&sources)?;
    let before = findings.len();
    for _ in 0..8 {
        let next = apply(&sources, &findings);
        if next.iter().zip(&sources).all(|(new, old)| new.text == old.text) {
            break;
        }
        // A mend that leaves no YAML, or more to find than before, is none.
        match lint(&next) {
            Ok(after) if after.len() < findings.len() => {
                sources = next;
                findings = after;
            }
            _ => break,
        }
    }
    Ok(Fixed { mended: before.saturating_sub(findings.len()), sources, left: findings })
}

fn apply(sources: &[Source], findings: &[Finding]) -> Vec<Source> {
    let mut edits: Vec<&Edit> = findings.iter().flat_map(|finding| &finding.edits).collect();
    // From the end of a file to its start, so that places stay true.
    edits.sort_by_key(|edit| (edit.file, std::cmp::Reverse(edit.start), edit.len));
    edits.dedup();
    let mut sources = sources.to_vec();
    let mut last: Option<(usize, usize)> = None;
    for edit in edits {
        let free = last.is_none_or(|(file, start)| edit.file != file || edit.start + edit.len <= start);
        let Some(source) = sources.get_mut(edit.file).filter(|_| free) else { continue };
        let range = edit.start..edit.start + edit.len;
        if source.text.get(range.clone()).is_some() {
            source.text.replace_range(range, &edit.text);
            last = Some((edit.file, edit.start));
        }
    }
    sources
}
