//! LangGraph's API as operations: every route that is known, what it does and how its body is read.
//!
//! The table follows langgraph-api 0.16 and its own words of authorisation. A route that is not here is no
//! operation and is denied; that holds for the server's unauthenticated internals too (`/internal/…`,
//! `/deploy`, `/ui…`, `/profile`), which are listed as closed so that the answer can say so.

use super::Class::{self, Admin, Execute, Read, System, Write};

/// One route: the methods and paths that mean the same, and what they mean.
#[derive(Debug)]
pub(super) struct Route {
    /// HTTP methods, upper case. `HEAD` is judged as `GET`.
    pub(super) methods: &'static [&'static str],
    /// Paths. `{thread}`, `{run}`, `{cron}` are UUIDs, `{assistant}` a UUID or a graph's name, `{checkpoint}`
    /// and `{path}` any text.
    pub(super) paths: &'static [&'static str],
    /// What the request does, before its body and query are known; first is primary.
    pub(super) does: &'static [Does],
    /// How the rest is read.
    pub(super) shape: Shape,
}

/// `resource.action` and its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Does {
    pub(super) resource: &'static str,
    pub(super) action: &'static str,
    pub(super) class: Class,
}

/// How a route's body and query become operations; see [`super::shapes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Never forwarded.
    Closed,
    /// The server reads no body.
    Bodiless,
    /// A body that names nothing that matters; it may be empty.
    Plain,
    /// `POST /assistants`.
    AssistantCreate,
    /// `PATCH /assistants/{assistant}`.
    AssistantUpdate,
    /// `DELETE /assistants/{assistant}?delete_threads=`.
    AssistantDelete,
    /// `POST /assistants/search` and `count`: `graph_id` filters.
    AssistantSearch,
    /// `POST /threads`.
    ThreadCreate,
    /// `POST /threads/search` and `count`.
    ThreadSearch,
    /// `PATCH /threads/{thread}`.
    ThreadUpdate,
    /// `POST /threads/prune`: an array of threads.
    ThreadPrune,
    /// `POST /threads/{thread}/state`.
    StateWrite,
    /// `POST /threads/{thread}/state/checkpoint`.
    StateRead,
    /// A run on a thread.
    Run,
    /// A run on a thread of its own.
    StatelessRun,
    /// An array of runs.
    RunBatch,
    /// `GET …/join` and `…/stream`, which can cancel the run when the caller goes.
    RunJoin,
    /// `POST …/cancel?action=`.
    RunCancel,
    /// `POST /runs/cancel`.
    RunsCancel,
    /// A cron is made.
    CronCreate,
    /// A cron is changed.
    CronUpdate,
    /// `POST /runs/crons/search` and `count`.
    CronSearch,
    /// `GET /store/items?namespace=a.b`.
    StoreGet,
    /// `PUT` and `DELETE /store/items`.
    StoreItem,
    /// `POST /store/items/search`: `namespace_prefix`.
    StoreSearch,
    /// `POST /store/namespaces`: `prefix`.
    StoreNamespaces,
    /// `POST /threads/{thread}/commands`: by `method`.
    Command,
    /// `POST /mcp`: JSON-RPC by `method`.
    Mcp,
    /// `POST /a2a/{assistant}`: JSON-RPC by `method`.
    A2a,
    /// `GET /.well-known/agent-card.json?assistant_id=`.
    Card,
}

impl Shape {
    /// Whether the server parses a body here.
    pub(super) const fn has_body(self) -> bool {
        !matches!(
            self,
            Self::Closed
                | Self::Bodiless
                | Self::AssistantDelete
                | Self::RunJoin
                | Self::RunCancel
                | Self::StoreGet
                | Self::Card
        )
    }
}

const fn does(resource: &'static str, action: &'static str, class: Class) -> Does {
    Does { resource, action, class }
}

const fn route(
    methods: &'static [&'static str],
    paths: &'static [&'static str],
    does: &'static [Does],
    shape: Shape,
) -> Route {
    Route { methods, paths, does, shape }
}

const GET: &[&str] = &["GET"];
const POST: &[&str] = &["POST"];
const PUT: &[&str] = &["PUT"];
const PATCH: &[&str] = &["PATCH"];
const DELETE: &[&str] = &["DELETE"];
const EVERY: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE"];

/// The API. Literal segments win over parameters, as the server's order of routes has it.
#[rustfmt::skip]
pub(super) static ROUTES: &[Route] = &[
    // the server itself
    route(GET, &["/", "/ok"], &[does("system", "health", System)], Shape::Bodiless),
    route(GET, &["/info"], &[does("system", "info", System)], Shape::Bodiless),
    route(GET, &["/docs"], &[does("system", "docs", System)], Shape::Bodiless),
    route(GET, &["/openapi.json"], &[does("system", "openapi", System)], Shape::Bodiless),
    route(GET, &["/metrics"], &[does("system", "metrics", System)], Shape::Bodiless),
    // assistants
    route(POST, &["/assistants"], &[does("assistants", "create", Write)], Shape::AssistantCreate),
    route(POST, &["/assistants/search", "/assistants/count"], &[does("assistants", "search", Read)], Shape::AssistantSearch),
    route(GET, &["/assistants/{assistant}", "/assistants/{assistant}/graph", "/assistants/{assistant}/schemas",
        "/assistants/{assistant}/subgraphs", "/assistants/{assistant}/subgraphs/{path}"], &[does("assistants", "read", Read)], Shape::Bodiless),
    route(POST, &["/assistants/{assistant}/versions"], &[does("assistants", "read", Read)], Shape::Plain),
    route(PATCH, &["/assistants/{assistant}"], &[does("assistants", "update", Write)], Shape::AssistantUpdate),
    route(POST, &["/assistants/{assistant}/latest"], &[does("assistants", "update", Write)], Shape::Plain),
    route(DELETE, &["/assistants/{assistant}"], &[does("assistants", "delete", Admin)], Shape::AssistantDelete),
    // threads
    route(POST, &["/threads"], &[does("threads", "create", Write)], Shape::ThreadCreate),
    route(POST, &["/threads/search", "/threads/count"], &[does("threads", "search", Read)], Shape::ThreadSearch),
    route(POST, &["/threads/prune"], &[does("threads", "delete", Admin)], Shape::ThreadPrune),
    route(GET, &["/threads/{thread}", "/threads/{thread}/storage", "/threads/{thread}/stream"], &[does("threads", "read", Read)], Shape::Bodiless),
    route(PATCH, &["/threads/{thread}"], &[does("threads", "update", Write)], Shape::ThreadUpdate),
    route(DELETE, &["/threads/{thread}"], &[does("threads", "delete", Admin)], Shape::Bodiless),
    route(POST, &["/threads/{thread}/copy"], &[does("threads", "create", Write), does("threads", "read", Read)], Shape::Plain),
    route(GET, &["/threads/{thread}/state", "/threads/{thread}/state/{checkpoint}"], &[does("threads", "read", Read)], Shape::Bodiless),
    route(POST, &["/threads/{thread}/state/checkpoint"], &[does("threads", "read", Read)], Shape::StateRead),
    route(POST, &["/threads/{thread}/state"], &[does("threads", "update", Write)], Shape::StateWrite),
    route(GET, &["/threads/{thread}/history"], &[does("threads", "read", Read)], Shape::Bodiless),
    route(POST, &["/threads/{thread}/history"], &[does("threads", "read", Read)], Shape::StateRead),
    route(POST, &["/threads/{thread}/stream/events"], &[does("threads", "read", Read)], Shape::Plain),
    route(POST, &["/threads/{thread}/commands"], &[], Shape::Command),
    // runs, which authorise as threads
    route(POST, &["/threads/{thread}/runs", "/threads/{thread}/runs/stream", "/threads/{thread}/runs/wait"], &[does("threads", "create_run", Execute)], Shape::Run),
    route(GET, &["/threads/{thread}/runs", "/threads/{thread}/runs/{run}"], &[does("threads", "read", Read)], Shape::Bodiless),
    route(GET, &["/threads/{thread}/runs/{run}/join", "/threads/{thread}/runs/{run}/stream"], &[does("threads", "read", Read)], Shape::RunJoin),
    route(POST, &["/threads/{thread}/runs/{run}/cancel"], &[does("threads", "update", Write)], Shape::RunCancel),
    route(DELETE, &["/threads/{thread}/runs/{run}"], &[does("threads", "delete", Admin)], Shape::Bodiless),
    route(POST, &["/runs", "/runs/stream", "/runs/wait"], &[does("threads", "create_run", Execute)], Shape::StatelessRun),
    route(POST, &["/runs/batch"], &[does("threads", "create_run", Execute)], Shape::RunBatch),
    route(POST, &["/runs/cancel"], &[does("threads", "update", Admin)], Shape::RunsCancel),
    // crons
    route(POST, &["/runs/crons", "/threads/{thread}/runs/crons"], &[does("crons", "create", Execute)], Shape::CronCreate),
    route(POST, &["/runs/crons/search", "/runs/crons/count"], &[does("crons", "search", Read)], Shape::CronSearch),
    route(GET, &["/runs/crons/{cron}"], &[does("crons", "read", Read)], Shape::Bodiless),
    route(PATCH, &["/runs/crons/{cron}"], &[does("crons", "update", Write)], Shape::CronUpdate),
    route(DELETE, &["/runs/crons/{cron}"], &[does("crons", "delete", Admin)], Shape::Bodiless),
    // store
    route(GET, &["/store/items"], &[does("store", "get", Read)], Shape::StoreGet),
    route(PUT, &["/store/items"], &[does("store", "put", Write)], Shape::StoreItem),
    route(DELETE, &["/store/items"], &[does("store", "delete", Admin)], Shape::StoreItem),
    route(POST, &["/store/items/search"], &[does("store", "search", Read)], Shape::StoreSearch),
    route(POST, &["/store/namespaces"], &[does("store", "list_namespaces", Read)], Shape::StoreNamespaces),
    // agents' protocols
    route(POST, &["/mcp"], &[], Shape::Mcp),
    route(POST, &["/a2a/{assistant}"], &[], Shape::A2a),
    route(GET, &["/a2a/{assistant}/.well-known/agent-card.json", "/a2a/{assistant}/.well-known/agent.json"], &[does("assistants", "read", Read)], Shape::Bodiless),
    route(GET, &["/.well-known/agent-card.json"], &[does("assistants", "read", Read)], Shape::Card),
    // reachable without authentication, or of no use to a caller
    route(POST, &["/internal/truncate"], &[], Shape::Closed),
    route(GET, &["/internal/debug/thread/{path}"], &[], Shape::Closed),
    route(EVERY, &["/deploy", "/deploy/{path}/stream"], &[], Shape::Closed),
    route(EVERY, &["/ui", "/ui/{path}", "/ui/{path}/{path}"], &[], Shape::Closed),
    route(GET, &["/profile"], &[], Shape::Closed),
];

/// Operations that come of bodies and queries alone.
pub(super) mod also {
    use super::{Admin, Does, Execute, Read, System, Write, does};

    pub(in crate::operation) const CREATE_RUN: Does = does("threads", "create_run", Execute);
    pub(in crate::operation) const THREAD_READ: Does = does("threads", "read", Read);
    pub(in crate::operation) const THREAD_UPDATE: Does = does("threads", "update", Write);
    pub(in crate::operation) const THREAD_DELETE: Does = does("threads", "delete", Admin);
    pub(in crate::operation) const ASSISTANT_READ: Does = does("assistants", "read", Read);
    pub(in crate::operation) const ASSISTANT_SEARCH: Does = does("assistants", "search", Read);
    pub(in crate::operation) const MCP_INITIALIZE: Does = does("mcp", "initialize", Read);
    pub(in crate::operation) const MCP_PING: Does = does("mcp", "ping", Read);
    pub(in crate::operation) const MCP_NOTIFY: Does = does("mcp", "notify", Read);
    pub(in crate::operation) const PREFLIGHT: Does = does("system", "preflight", System);

    /// All of them, for the list of names.
    pub(in crate::operation) const ALL: &[Does] = &[
        CREATE_RUN,
        THREAD_READ,
        THREAD_UPDATE,
        THREAD_DELETE,
        ASSISTANT_READ,
        ASSISTANT_SEARCH,
        MCP_INITIALIZE,
        MCP_PING,
        MCP_NOTIFY,
        PREFLIGHT,
    ];
}

/// Every kind of operation that a request can be, sorted, each once.
pub(crate) fn kinds() -> Vec<(&'static str, &'static str, Class)> {
    let mut kinds: Vec<_> = ROUTES
        .iter()
        .flat_map(|route| route.does)
        .chain(also::ALL)
        .map(|does| (does.resource, does.action, does.class))
        .collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

/// The names of class `system`, which may be public.
pub(super) fn system_names() -> Vec<String> {
    let system = ROUTES.iter().flat_map(|route| route.does).filter(|does| does.class == System);
    system.map(|does| format!("{}.{}", does.resource, does.action)).collect()
}

/// A path of the table that fits.
#[derive(Debug)]
pub(super) struct Fit {
    /// The path as the table writes it.
    pub(super) path: &'static str,
    /// How many leading segments are literal, for precedence.
    literal: usize,
}

/// Matches segments against a path of the table.
pub(super) fn fit(path: &'static str, segments: &[String]) -> Option<Fit> {
    let mut literal = 0;
    let mut pattern = path.split('/').filter(|part| !part.is_empty());
    for segment in segments {
        let part = pattern.next()?;
        if part == segment {
            literal += 1;
        } else if !part.starts_with('{') {
            return None;
        }
    }
    pattern.next().is_none().then_some(Fit { path, literal })
}

/// The route that the server takes: of those that fit, the one with the most literal segments.
pub(super) fn find(method: &str, segments: &[String]) -> Option<(&'static Route, Fit)> {
    ROUTES
        .iter()
        .filter(|route| route.methods.contains(&method))
        .flat_map(|route| {
            route.paths.iter().filter_map(move |path| fit(path, segments).map(|fit| (route, fit)))
        })
        .max_by_key(|(_, fit)| fit.literal)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn sample(path: &str) -> Vec<String> {
        path.split('/').filter(|part| !part.is_empty()).map(|part| part.replace(['{', '}'], "")).collect()
    }

    #[test]
    fn every_route_is_found_by_its_own_path_and_no_two_are_the_same() {
        let mut seen = BTreeSet::new();
        for route in ROUTES {
            for path in route.paths {
                for method in route.methods {
                    assert!(seen.insert((method, path)), "{method} {path} is there twice");
                    let (found, fit) = find(method, &sample(path)).unwrap();
                    assert!(
                        std::ptr::eq(found, route) && fit.path == *path,
                        "{method} {path} finds {}",
                        fit.path
                    );
                }
            }
        }
    }

    #[test]
    fn a_route_without_an_operation_of_its_own_is_closed_or_told_by_its_body() {
        for route in ROUTES {
            let by_body = matches!(route.shape, Shape::Command | Shape::Mcp | Shape::A2a);
            assert_eq!(route.does.is_empty(), by_body || route.shape == Shape::Closed, "{:?}", route.paths);
        }
    }

    #[test]
    fn parameters_are_those_that_the_head_reads() {
        for part in ROUTES.iter().flat_map(|route| route.paths).flat_map(|path| path.split('/')) {
            let known = ["{thread}", "{run}", "{cron}", "{assistant}", "{checkpoint}", "{path}"];
            assert!(!part.starts_with('{') || known.contains(&part), "{part}");
        }
    }
}
