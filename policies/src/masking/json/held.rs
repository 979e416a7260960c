//! What of a document is held back, and why.

use super::{Json, State};
use crate::masking::insight::{Held, Waits};
use crate::masking::rules::Rules;

impl Json {
    /// Says what is held back; `lane` where the document is a text that grows.
    pub(in crate::masking) fn held(&self, lane: Option<u64>, rules: &Rules, held: &mut Vec<Held>) {
        if let Some(muted) = &self.muted {
            let rule = rules.shared.fields.get(muted.rule).map_or("", |field| field.name.as_ref());
            let bytes = muted.value.as_ref().map_or(0, Vec::len);
            held.push(Held { bytes, text: Vec::new(), lane, waits: Waits::Field(rule.to_owned()) });
            return;
        }
        let escape = self.escape.is_open();
        if !self.token.is_empty() || escape {
            let bytes = self.token.len() + usize::from(escape);
            held.push(Held { bytes, text: self.token.clone(), lane, waits: Waits::Token });
        }
        if matches!(self.state, State::Text | State::NameText | State::Loose) && !self.fresh {
            self.content.held(lane, rules, held);
        }
    }
}
