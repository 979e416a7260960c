//! The people whom the identity provider knows, to compare with those who called: from a CSV file, or from a SCIM 2.0
//! service (RFC 7643, RFC 7644).
//!
//! ```csv
//! subject,email,name,roles,active
//! u-ana,ana@example.com,Ana Analyst,analyst;approver,true
//! ```
//!
//! Columns may come in any order and be missing, but one of `subject`, `email` and `user_name` has to be there. A
//! person of the records is a person of the directory where the subjects are equal, or the e-mail addresses are,
//! whatever their case, or the user name is one of the two.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use url::Url;

use super::cells::{row, writer};

/// The most people that are read.
const MOST: usize = 1_000_000;
/// How many people one SCIM request asks for.
const PAGE: usize = 200;
/// The columns of `directory.csv`.
const COLUMNS: [&str; 6] = ["subject", "email", "user_name", "name", "roles", "active"];

/// A person of the directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// The subject that tokens name.
    pub subject: String,
    /// The e-mail address.
    pub email: String,
    /// The name that they sign in with.
    pub user_name: String,
    /// The name that people read.
    pub name: String,
    /// Roles and groups.
    pub roles: Vec<String>,
    /// Whether they may sign in at all.
    pub active: bool,
}

/// The people of the identity provider.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    people: Vec<Listed>,
    by_name: HashMap<String, usize>,
}

impl Directory {
    /// Reads a CSV file. The error names the row.
    pub fn from_csv(file: impl Read) -> anyhow::Result<Self> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(file);
        let heading: Vec<String> = reader
            .headers()
            .context("the directory has no heading")?
            .iter()
            .map(|name| canonical(name.trim_start_matches('\u{feff}')))
            .collect();
        let column = |name: &str| heading.iter().position(|column| column == name);
        let places = COLUMNS.map(column);
        let [subject, email, user_name, name, roles, active] = places;
        ensure!(
            subject.or(email).or(user_name).is_some(),
            "the directory needs a column `subject`, `email` or `user_name`; it has: {}",
            heading.join(", ")
        );
        let mut people = Vec::new();
        for (index, record) in reader.records().enumerate() {
            ensure!(index < MOST, "the directory has more than {MOST} people");
            let record =
                record.with_context(|| format!("row {} of the directory cannot be read", index + 2))?;
            let cell = |place: Option<usize>| {
                let text = place.and_then(|place| record.get(place)).unwrap_or_default();
                text.strip_prefix('\'').unwrap_or(text).to_owned()
            };
            let inactive = ["false", "no", "0", "inactive", "disabled", "suspended"];
            people.push(Listed {
                subject: cell(subject),
                email: cell(email),
                user_name: cell(user_name),
                name: cell(name),
                roles: cell(roles)
                    .split([';', ',', '|', ' '])
                    .filter(|role| !role.is_empty())
                    .map(str::to_owned)
                    .collect(),
                active: !inactive.contains(&cell(active).to_lowercase().as_str()),
            });
        }
        Ok(Self::of(people))
    }

    /// Asks a SCIM 2.0 service for its users. `url` is the service's base or its `/Users`; `token` goes as a bearer
    /// token. Errors hold nothing of what the service answered.
    pub async fn from_scim(url: &Url, token: Option<&str>) -> anyhow::Result<Self> {
        let mut users = url.clone();
        if !users.path().trim_end_matches('/').ends_with("/Users") {
            let path = format!("{}/Users", users.path().trim_end_matches('/'));
            users.set_path(&path);
        }
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let mut people = Vec::new();
        loop {
            let mut request = client
                .get(users.clone())
                .query(&[("startIndex", people.len() + 1), ("count", PAGE)])
                .header("accept", "application/scim+json, application/json");
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let answer = request
                .send()
                .await
                .map_err(|error| error.without_url())
                .context("the directory cannot be reached")?;
            ensure!(answer.status().is_success(), "the directory answered {}", answer.status());
            let page: Page = answer
                .json()
                .await
                .map_err(|error| error.without_url())
                .context("the directory's answer is no SCIM list")?;
            let came = page.resources.len();
            people.extend(page.resources.into_iter().map(Listed::from));
            if came == 0 || people.len() >= page.total {
                break;
            }
            if people.len() > MOST {
                bail!("the directory has more than {MOST} people");
            }
        }
        Ok(Self::of(people))
    }

    fn of(people: Vec<Listed>) -> Self {
        let mut by_name = HashMap::new();
        for (index, person) in people.iter().enumerate() {
            for name in [
                (!person.subject.is_empty()).then(|| format!("s {}", person.subject)),
                (!person.email.is_empty()).then(|| format!("e {}", person.email.to_lowercase())),
                (!person.user_name.is_empty()).then(|| format!("u {}", person.user_name.to_lowercase())),
            ]
            .into_iter()
            .flatten()
            {
                by_name.entry(name).or_insert(index);
            }
        }
        Self { people, by_name }
    }

    /// The place of a person of the records.
    pub(super) fn find(&self, subject: &str, email: &str) -> Option<usize> {
        let lower = email.to_lowercase();
        [
            format!("s {subject}"),
            format!("e {lower}"),
            format!("u {}", subject.to_lowercase()),
            format!("u {lower}"),
            format!("e {}", subject.to_lowercase()),
        ]
        .iter()
        .find_map(|name| self.by_name.get(name).copied())
    }

    pub(super) fn people(&self) -> &[Listed] {
        &self.people
    }

    /// How many people it has.
    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    /// Writes `directory.csv`, from which it can be read again.
    pub(super) fn write(&self, out: impl Write) -> anyhow::Result<()> {
        let mut out = writer(out);
        row(&mut out, &COLUMNS)?;
        for person in &self.people {
            let active = if person.active { "true" } else { "false" };
            let roles = person.roles.join(";");
            row(
                &mut out,
                &[&person.subject, &person.email, &person.user_name, &person.name, &roles, active],
            )?;
        }
        out.flush()?;
        Ok(())
    }
}

/// What providers call their columns, in one spelling.
fn canonical(name: &str) -> String {
    let name: String =
        name.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    match name.as_str() {
        "id" | "sub" | "external_id" | "externalid" | "object_id" => "subject",
        "mail" | "e_mail" | "email_address" => "email",
        "username" | "login" | "user_principal_name" | "userprincipalname" => "user_name",
        "displayname" | "display_name" | "full_name" => "name",
        "role" | "groups" | "group" => "roles",
        "status" | "enabled" => "active",
        other => other,
    }
    .to_owned()
}

#[derive(Deserialize)]
struct Page {
    #[serde(rename = "totalResults")]
    total: usize,
    #[serde(rename = "Resources", default)]
    resources: Vec<User>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    id: String,
    #[serde(rename = "externalId", default)]
    external_id: String,
    #[serde(rename = "userName", default)]
    user_name: String,
    #[serde(rename = "displayName", default)]
    display_name: String,
    #[serde(default)]
    name: Option<Name>,
    #[serde(default)]
    emails: Vec<Valued>,
    #[serde(default)]
    roles: Vec<Valued>,
    #[serde(default)]
    groups: Vec<Valued>,
    #[serde(default = "yes")]
    active: bool,
}

const fn yes() -> bool {
    true
}

#[derive(Deserialize, Default)]
struct Name {
    #[serde(default)]
    formatted: String,
}

#[derive(Deserialize)]
struct Valued {
    #[serde(default)]
    value: String,
    #[serde(default)]
    display: String,
    #[serde(default)]
    primary: bool,
}

impl Valued {
    /// Groups are named by `display`, their `value` is an id.
    fn name(self) -> String {
        if self.display.is_empty() { self.value } else { self.display }
    }
}

impl From<User> for Listed {
    fn from(user: User) -> Self {
        let formatted = user.name.unwrap_or_default().formatted;
        let email = user.emails.iter().find(|email| email.primary).or(user.emails.first());
        Self {
            email: email.map(|email| email.value.clone()).unwrap_or_default(),
            subject: if user.external_id.is_empty() { user.id } else { user.external_id },
            user_name: user.user_name,
            name: if user.display_name.is_empty() { formatted } else { user.display_name },
            roles: user
                .roles
                .into_iter()
                .chain(user.groups)
                .map(Valued::name)
                .filter(|role| !role.is_empty())
                .collect(),
            active: user.active,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_columns_in_any_order_and_by_other_names() {
        let text = "\u{feff}Display Name,Mail,groups,Enabled\r\nAna Analyst,Ana@Example.com,analyst;approver,TRUE\r\n\"Bo, B\",bo@example.com,,no\r\n";
        let directory = Directory::from_csv(text.as_bytes()).unwrap();
        assert_eq!(directory.len(), 2);
        let ana = &directory.people()[directory.find("u-ana", "ana@example.COM").unwrap()];
        assert_eq!((ana.name.as_str(), ana.roles.len(), ana.active), ("Ana Analyst", 2, true));
        assert!(!directory.people()[directory.find("bo@example.com", "").unwrap()].active);
        assert_eq!(directory.find("u-eve", "eve@example.com"), None);
        assert!(Directory::from_csv("colour\nred\n".as_bytes()).unwrap_err().to_string().contains("colour"));
    }

    #[test]
    fn what_is_written_reads_back() {
        let people = vec![Listed {
            subject: "-1".into(),
            email: "=a@b".into(),
            roles: vec!["x".into(), "y".into()],
            active: false,
            ..Listed::default()
        }];
        let directory = Directory::of(people.clone());
        let mut bytes = Vec::new();
        directory.write(&mut bytes).unwrap();
        assert_eq!(Directory::from_csv(bytes.as_slice()).unwrap().people(), people);
    }
}
