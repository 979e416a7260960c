//! Who is one person: the same subject at issuers that are told to share their subjects, or the same e-mail address.

use std::collections::BTreeMap;

/// Which issuers share their subjects: a company's two providers that know the same people by the same id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kin {
    /// Issuer → the one whose subjects it has.
    same: BTreeMap<String, String>,
}

/// A person as far as telling them from another goes.
#[derive(Debug, Clone, Copy)]
pub struct Marks<'a> {
    /// The issuer that vouches for them.
    pub issuer: &'a str,
    /// Their subject there.
    pub subject: &'a str,
    /// Their e-mail address.
    pub email: Option<&'a str>,
}

impl Kin {
    /// Reads `ISSUER=ISSUER`: the subjects of the first are those of the second.
    pub fn parse(pairs: &[String]) -> Result<Self, String> {
        let mut same = BTreeMap::new();
        for pair in pairs {
            match pair.split_once('=').map(|(one, other)| (one.trim(), other.trim())) {
                Some((one, other)) if !one.is_empty() && !other.is_empty() && one != other => {
                    same.insert(one.to_owned(), other.to_owned());
                }
                _ => return Err(format!("`{pair}` is not ISSUER=ISSUER")),
            }
        }
        Ok(Self { same })
    }

    /// The issuer that stands for all that share its subjects.
    fn root<'a>(&'a self, issuer: &'a str) -> &'a str {
        let mut issuer = issuer;
        // As many steps as there are pairs: whoever writes a circle gets one of its members.
        for _ in 0..self.same.len() {
            match self.same.get(issuer) {
                Some(other) => issuer = other,
                None => break,
            }
        }
        issuer
    }

    /// Whether two are one person. The e-mail address can only make more people one, never fewer.
    pub fn is_one(&self, one: Marks<'_>, other: Marks<'_>) -> bool {
        if one.subject == other.subject
            && (one.issuer == other.issuer || self.root(one.issuer) == self.root(other.issuer))
        {
            return true;
        }
        match (one.email, other.email) {
            (Some(one), Some(other)) => !one.is_empty() && one.eq_ignore_ascii_case(other),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks<'a>(issuer: &'a str, subject: &'a str, email: Option<&'a str>) -> Marks<'a> {
        Marks { issuer, subject, email }
    }

    #[test]
    fn mapped_issuers_share_their_subjects_and_others_do_not() {
        let kin = Kin::parse(&["https://a=https://b".to_owned(), "https://c=https://a".to_owned()]).unwrap();
        for (one, other) in
            [("https://a", "https://b"), ("https://c", "https://b"), ("https://x", "https://x")]
        {
            assert!(kin.is_one(marks(one, "ana", None), marks(other, "ana", None)), "{one} {other}");
            assert!(!kin.is_one(marks(one, "ana", None), marks(other, "max", None)));
        }
        assert!(!kin.is_one(marks("https://a", "ana", None), marks("https://x", "ana", None)));
    }

    #[test]
    fn one_mailbox_is_one_person() {
        let kin = Kin::default();
        let one = marks("https://a", "1", Some("Ana@example.com"));
        assert!(kin.is_one(one, marks("https://b", "2", Some("ana@EXAMPLE.com"))));
        assert!(!kin.is_one(marks("https://a", "1", Some("")), marks("https://b", "2", Some(""))));
    }

    #[test]
    fn pairs_that_say_nothing_are_refused() {
        for wrong in ["https://a", "=x", "x=", "x=x"] {
            assert!(Kin::parse(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
        let circle = Kin::parse(&["a=b".to_owned(), "b=a".to_owned()]).unwrap();
        assert!(!circle.is_one(marks("a", "s", None), marks("c", "s", None)));
    }
}
