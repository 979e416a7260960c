//! Where a claim is: a dotted path (`realm_access.roles`) or a JSON pointer (RFC 6901).

use serde_json::{Map, Value};

/// The way to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(Vec<String>);

impl Path {
    /// Reads a path. A name that is a URL (`https://example.com/groups`) is one name, dots and all.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let names: Vec<String> = if let Some(pointer) = text.strip_prefix('/') {
            pointer.split('/').map(unescape).collect::<Result<_, _>>()?
        } else if text.contains("://") {
            vec![text.to_owned()]
        } else {
            text.split('.').map(str::to_owned).collect()
        };
        if names.iter().any(String::is_empty) { Err("a name in it is empty") } else { Ok(Self(names)) }
    }

    /// The claim itself; `null` counts as absent.
    pub(super) fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let (first, rest) = self.0.split_first()?;
        rest.iter()
            .try_fold(claims.get(first)?, |value, name| match value {
                Value::Object(map) => map.get(name),
                Value::Array(items) => items.get(name.parse::<usize>().ok()?),
                _ => None,
            })
            .filter(|value| !value.is_null())
    }

    /// The name of the claim that it starts from.
    pub(super) fn first(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }
}

/// RFC 6901 section 4.
fn unescape(name: &str) -> Result<String, &'static str> {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name.chars();
    while let Some(next) = rest.next() {
        plain.push(match next {
            '~' => match rest.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err("`~` in a JSON pointer stands only before 0 or 1"),
            },
            other => other,
        });
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(path: &str) -> Option<Value> {
        let claims = serde_json::json!({
            "roles": ["top"],
            "realm_access": {"roles": ["deep"]},
            "https://example.com/groups": ["url"],
            "a~b": {"c/d": [null, "pointed"]},
            "none": null,
        });
        let Value::Object(claims) = claims else { unreachable!() };
        Path::parse(path).ok()?.find(&claims).cloned()
    }

    #[test]
    fn follows_dots_urls_and_pointers() {
        assert_eq!(find("roles"), Some(serde_json::json!(["top"])));
        assert_eq!(find("realm_access.roles"), Some(serde_json::json!(["deep"])));
        assert_eq!(find("https://example.com/groups"), Some(serde_json::json!(["url"])));
        assert_eq!(find("/https:~1~1example.com~1groups/0"), Some("url".into()));
        assert_eq!(find("/a~0b/c~1d/1"), Some("pointed".into()));
        assert_eq!(find("roles.0"), Some("top".into()));
    }

    #[test]
    fn finds_nothing_where_there_is_nothing() {
        for path in ["none", "roles.1", "roles.x", "roles.0.x", "realm_access.groups", "/a~0b/c~1d/0"] {
            assert_eq!(find(path), None, "{path}");
        }
        for path in ["", ".", "a..b", "/", "/a~2", "/a~"] {
            assert!(Path::parse(path).is_err(), "{path}");
        }
    }
}
