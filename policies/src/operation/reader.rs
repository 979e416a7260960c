//! The compiled section `operations`: from a request to what it does.

use std::collections::BTreeSet;

use super::doors::Doors;
use super::head::{self, Head};
use super::table::{self, Does};
use super::{BodyUse, Class, Config, Lookups, Normalised, Refused, Request, Stamping, json, shapes};
use crate::policy::{At, Problems};
use crate::reason::Reason;

/// Reads requests as LangGraph does. First the head, then, with the whole body, the request.
#[derive(Debug, Clone)]
pub struct Reader {
    doors: Doors,
    public: BTreeSet<String>,
    lookups: Option<Lookups>,
}

impl Reader {
    /// Compiles the section. Every problem is added; `None` if there was one.
    pub fn compile(config: &Config, at: &At, problems: &mut Problems) -> Option<Self> {
        let known = problems.iter().count();
        let doors = Doors::compile(config, at, problems);
        let at_public = at.member("public");
        let open: Vec<String> = table::system_names();
        for (index, name) in config.public.iter().enumerate() {
            if !open.contains(name) {
                let nearest = crate::policy::nearest(name, open.iter().map(String::as_str));
                problems.add_with_hint(
                    &at_public.index(index),
                    format!("`{name}` is not an operation that can be public"),
                    nearest.map_or_else(
                        || format!("one of {}", open.join(", ")),
                        |nearest| format!("did you mean `{nearest}`?"),
                    ),
                );
            }
        }
        let lookups =
            config.lookups.as_ref().map(|lookups| Lookups::compile(lookups, &at.member("lookups"), problems));
        (problems.iter().count() == known).then(|| Self {
            doors,
            public: config.public.iter().cloned().collect(),
            lookups,
        })
    }

    /// Where LangGraph is asked what only it knows, if the policy says so.
    pub fn lookups(&self) -> Option<&Lookups> {
        self.lookups.as_ref()
    }

    /// Reads what method, raw `:path` (with its query) and header pairs say.
    ///
    /// # Errors
    /// A request that cannot be judged safely, or is no known operation.
    pub fn read_head(
        &self,
        method: &[u8],
        path: &[u8],
        headers: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<Head, Refused> {
        let public = |does: &Does| {
            does.class == Class::System
                && self.public.iter().any(|name| name.split_once('.') == Some((does.resource, does.action)))
        };
        head::read(method, path, headers, &public)
    }

    /// Reads the request with its whole body (empty if there is none).
    ///
    /// # Errors
    /// A body that is not what the route takes, that holds a field which the policy does not open, or whose
    /// method is no known operation.
    pub fn read(&self, head: &Head, body: &[u8]) -> Result<Request, Refused> {
        let (body, weight) = match head.body {
            BodyUse::Json if !body.trim_ascii().is_empty() => {
                let (value, weight) = json::parse(body)?;
                (Some(value), weight)
            }
            _ => (None, 0),
        };
        let mut judged = shapes::read(head, body.as_ref(), &self.doors)?;
        for (operation, facts) in &mut judged {
            let graph = operation.assistant.as_deref().and_then(|assistant| self.doors.graph_of(assistant));
            if let (None, Some(graph)) = (&operation.graph, graph) {
                operation.graph = Some(graph.to_owned());
                facts.graph_known = true;
                facts.graph_presumed = true;
            }
        }
        if judged.is_empty() {
            return Err(Refused::new(Reason::OperationUnknown, "request does nothing that is known"));
        }
        if judged.len() > 2 * shapes::OPERATIONS_LIMIT {
            return Err(Refused::new(Reason::BodyTooLarge, "batch holds more than 100 operations"));
        }
        let by_command = judged.first().and_then(|(_, facts)| facts.method.as_deref());
        let stamping = Stamping::of(head.shape, by_command);
        let (operations, facts): (Vec<_>, Vec<_>) = judged.into_iter().unzip();
        Ok(Request {
            operations,
            facts,
            body,
            weight,
            stamping,
            normalised: Normalised {
                method: head.method.clone(),
                path: head.target.spelled(),
                query: head.target.query.clone(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(section: serde_json::Value) -> Result<Reader, Problems> {
        let mut problems = Problems::new();
        let config = serde_json::from_value(section).unwrap();
        Reader::compile(&config, &At::root().member("operations"), &mut problems).ok_or(problems)
    }

    #[test]
    fn every_problem_of_the_section_has_its_place() {
        let section = serde_json::json!({
            "public": ["system.helth", "threads.read"],
            "webhooks": ["hooks.example.com", "https://a b/"],
            "configurable": ["user_id"],
            "graphs": ["support_agent", "not a graph"],
        });
        let problems = compile(section).map(|_| ()).unwrap_err();
        let places: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(
            places,
            [
                "operations.webhooks[1]",
                "operations.graphs[1]",
                "operations.configurable[0]",
                "operations.public[0]",
                "operations.public[1]",
            ]
        );
        assert!(
            problems.iter().any(|problem| problem.hint.as_deref() == Some("did you mean `system.health`?"))
        );
    }

    #[test]
    fn a_graph_that_the_policy_names_is_known_by_its_assistants_id_too() {
        let reader = compile(serde_json::json!({"graphs": ["support_agent"]})).unwrap();
        let read = |assistant: &str| {
            let head = reader.read_head(b"POST", b"/runs/wait", &[])?;
            reader.read(&head, serde_json::json!({"assistant_id": assistant}).to_string().as_bytes())
        };
        let id = super::super::ids::of_graph("support_agent").to_uppercase();
        let request = read(&id).unwrap();
        assert_eq!(request.operations[0].graph.as_deref(), Some("support_agent"));
        assert!(request.facts[0].graph_known && request.unresolved().is_empty());
        let other = read("2a6e0f1a-9a1b-5c2d-8e3f-0123456789ab").unwrap();
        assert!(!other.facts[0].graph_known);
        assert_eq!(read("billing").map(|_| ()).unwrap_err().reason, Reason::OperationUnknown);
    }
}
