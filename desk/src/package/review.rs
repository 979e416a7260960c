//! The access review: for each person and role, what was used, when first and last; who never used what they have;
//! and who called without being in the identity provider's directory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use super::cells::{row, writer};
use super::directory::Directory;
use super::entry::Entry;

const COLUMNS: [&str; 13] = [
    "issuer",
    "subject",
    "name",
    "email",
    "kind",
    "role",
    "operations",
    "calls",
    "refused",
    "first_use",
    "last_use",
    "directory",
    "remark",
];

/// What was used, by person.
#[derive(Debug, Default)]
pub(super) struct Review {
    people: BTreeMap<(String, String), Used>,
}

#[derive(Debug, Default)]
struct Used {
    name: String,
    email: String,
    kind: String,
    roles: BTreeMap<String, Use>,
}

#[derive(Debug, Default)]
struct Use {
    operations: BTreeMap<String, u64>,
    calls: u64,
    refused: u64,
    first: String,
    last: String,
}

/// What stands out in a review.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Remarks {
    /// People who called.
    pub(super) people: u64,
    /// People who called and are not in the directory.
    pub(super) strangers: u64,
    /// People who called and are disabled in the directory.
    pub(super) disabled: u64,
    /// Roles of the directory that were never used by those who have them.
    pub(super) unused: u64,
}

impl Review {
    /// Takes an outcome.
    pub(super) fn take(&mut self, entry: &Entry<'_>) {
        let Some(actor) = &entry.actor else { return };
        let person = self.people.entry((actor.issuer.to_string(), actor.subject.to_string())).or_default();
        if person.name != actor.name {
            person.name = actor.name.to_string();
        }
        if person.email != actor.email {
            person.email = actor.email.to_string();
        }
        if person.kind != actor.kind {
            person.kind = actor.kind.to_string();
        }
        let allowed = entry.decision.as_ref().is_none_or(|decision| decision.effect == "allow");
        let none = [std::borrow::Cow::Borrowed("")];
        let roles = if actor.roles.is_empty() { &none[..] } else { &actor.roles };
        for role in roles {
            if !person.roles.contains_key(role.as_ref()) {
                person.roles.insert(role.to_string(), Use::default());
            }
            let Some(used) = person.roles.get_mut(role.as_ref()) else { continue };
            used.calls += 1;
            used.refused += u64::from(!allowed);
            if used.first.is_empty() || entry.at.as_ref() < used.first.as_str() {
                used.first = entry.at.to_string();
            }
            if entry.at.as_ref() > used.last.as_str() {
                entry.at.as_ref().clone_into(&mut used.last);
            }
            for operation in entry.operations.iter().filter(|_| allowed) {
                match used.operations.get_mut(operation.operation.as_ref()) {
                    Some(times) => *times += 1,
                    None => {
                        used.operations.insert(operation.operation.to_string(), 1);
                    }
                }
            }
        }
    }

    /// Writes `access-review.csv`.
    pub(super) fn write(&self, directory: Option<&Directory>, out: impl Write) -> anyhow::Result<Remarks> {
        let mut out = writer(out);
        row(&mut out, &COLUMNS)?;
        let mut remarks = Remarks { people: self.people.len() as u64, ..Remarks::default() };
        let mut seen: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
        for ((issuer, subject), person) in &self.people {
            let found = directory.and_then(|directory| directory.find(subject, &person.email));
            let listed = found.and_then(|place| directory?.people().get(place));
            let (word, remark) = match (directory, listed) {
                (None, _) => ("", ""),
                (Some(_), Some(listed)) if listed.active => ("active", ""),
                (Some(_), Some(_)) => {
                    remarks.disabled += 1;
                    ("disabled", "called while disabled in the directory")
                }
                // Machines are seldom people of a directory; an auditor decides.
                (Some(_), None) => {
                    remarks.strangers += 1;
                    ("absent", "not in the directory")
                }
            };
            if let Some(place) = found {
                seen.entry(place).or_default().extend(person.roles.keys().map(String::as_str));
            }
            for (role, used) in &person.roles {
                let mut operations: Vec<_> = used.operations.iter().collect();
                operations.sort_by(|one, other| other.1.cmp(one.1).then(one.0.cmp(other.0)));
                let operations: Vec<_> =
                    operations.iter().map(|(name, times)| format!("{name} ({times})")).collect();
                let remark = match (remark, operations.is_empty()) {
                    ("", true) => "only refused",
                    (remark, _) => remark,
                };
                row(
                    &mut out,
                    &[
                        issuer,
                        subject,
                        &person.name,
                        &person.email,
                        &person.kind,
                        role,
                        &operations.join("; "),
                        &used.calls.to_string(),
                        &used.refused.to_string(),
                        &used.first,
                        &used.last,
                        word,
                        remark,
                    ],
                )?;
            }
        }
        for (place, listed) in directory.map(Directory::people).unwrap_or_default().iter().enumerate() {
            let used = seen.get(&place);
            let word = if listed.active { "active" } else { "disabled" };
            let mut roles: Vec<&str> = listed.roles.iter().map(String::as_str).collect();
            if roles.is_empty() && used.is_none() {
                roles.push("");
            }
            for role in roles.into_iter().filter(|role| !used.is_some_and(|used| used.contains(role))) {
                remarks.unused += 1;
                let subject = if listed.subject.is_empty() { &listed.user_name } else { &listed.subject };
                let cells = [
                    "",
                    subject,
                    &listed.name,
                    &listed.email,
                    "",
                    role,
                    "",
                    "0",
                    "0",
                    "",
                    "",
                    word,
                    "never used",
                ];
                row(&mut out, &cells)?;
            }
        }
        out.flush()?;
        Ok(remarks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(directory: Option<&str>) -> (String, Remarks) {
        let mut review = Review::default();
        for (subject, role, operation, effect, at) in [
            ("ana", "analyst", "threads.read", "allow", "2026-11-22T00:00:02.000000Z"),
            ("ana", "analyst", "threads.read", "allow", "2026-11-22T00:00:01.000000Z"),
            ("ana", "analyst", "threads.delete", "deny", "2026-11-22T00:00:03.000000Z"),
            ("eve", "engineer", "threads.read", "deny", "2026-11-22T00:00:03.000000Z"),
        ] {
            let line = format!(
                r#"{{"v":1,"kind":"outcome","chain":"c","seq":1,"prev":"","at":"{at}","actor":{{"issuer":"i","subject":"{subject}",
                   "email":"{subject}@example.com","roles":["{role}"],"kind":"person"}},
                   "operations":[{{"operation":"{operation}"}}],"decision":{{"effect":"{effect}"}}}}"#
            );
            review.take(&Entry::read(line.as_bytes()).unwrap());
        }
        let directory = directory.map(|text| Directory::from_csv(text.as_bytes()).unwrap());
        let mut bytes = Vec::new();
        let remarks = review.write(directory.as_ref(), &mut bytes).unwrap();
        (String::from_utf8(bytes).unwrap(), remarks)
    }

    #[test]
    fn says_what_each_role_was_used_for_and_when() {
        let (text, remarks) = review(None);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[1],
            "i,ana,,ana@example.com,person,analyst,threads.read (2),3,1,2026-11-22T00:00:01.000000Z,2026-11-22T00:00:03.000000Z,,"
        );
        assert!(lines[2].ends_with(",,only refused"), "{}", lines[2]);
        assert_eq!(remarks, Remarks { people: 2, ..Remarks::default() });
    }

    #[test]
    fn correlates_with_the_directory() {
        let (text, remarks) = review(Some(
            "subject,email,roles,active\nana,,analyst;admin,true\nzoe,zoe@example.com,manager,false\nkim,,,true\n",
        ));
        assert_eq!(remarks, Remarks { people: 2, strangers: 1, disabled: 0, unused: 3 });
        assert!(
            text.contains(",eve,,eve@example.com,person,engineer,,1,1,")
                && text.contains(",absent,not in the directory")
        );
        assert!(text.contains(",ana,,,,admin,,0,0,,,active,never used"), "{text}");
        assert!(text.contains(",zoe,,zoe@example.com,,manager,,0,0,,,disabled,never used"), "{text}");
        assert!(text.contains(",kim,,,,,,0,0,,,active,never used"), "{text}");
        let (_, remarks) = review(Some("email,active\nEVE@example.com,disabled\nana@example.com,true\n"));
        assert_eq!((remarks.disabled, remarks.strangers), (1, 0));
    }
}
