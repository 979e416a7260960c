//! The rules: what can bite, why, and what mends it. `docs/lint.md` is made of this table.

use std::fmt;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Works, and will surprise somebody.
    Warning,
    /// Lets something past the gate, breaks requests, or is refused by the proxy.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, which never changes: people silence rules by it.
    pub id: &'static str,
    /// How bad it is. Some findings of a rule may be milder.
    pub severity: Severity,
    /// In a few words.
    pub title: &'static str,
    /// What happens.
    pub cause: &'static str,
    /// What to do.
    pub cure: &'static str,
    /// Whether `--fix` mends it, at least where the place is written plainly.
    pub fixes: bool,
}

macro_rules! rules {
    ($($name:ident = $id:literal $severity:ident $fixes:literal $title:literal; $cause:literal; $cure:literal)*) => {
        $(
            #[doc = $title]
            pub(super) const $name: Rule = Rule {
                id: $id,
                severity: Severity::$severity,
                title: $title,
                cause: $cause,
                cure: $cure,
                fixes: $fixes,
            };
        )*

        /// All of them, in the order of the page.
        pub const RULES: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    NO_GATE = "no-gate" Warning false
        "nothing in these files is Graphwarden";
        "None of the files has a Wasm filter, a `WasmPlugin` or a configuration by ECDS that holds Graphwarden, so there \
         is nothing to say about it.";
        "Name the file that has the filter in it. A filter that goes by another name is known by its policy, its `root_id` \
         or the name of its module."
    POLICY = "policy" Error false
        "the policy does not hold";
        "The policy inside the filter's configuration has an error, or there is none. Envoy does not start with it, or \
         keeps the configuration that it has.";
        "Mend the field that is named; `docs/policy.md` describes each. `graphwarden check` says the same about policies alone."
    POLICY_SHADOW = "policy-shadow" Warning false
        "a rule of the policy is decided by an earlier one";
        "An earlier rule decides, whatever the request, about some of what a later rule is about.";
        "Put the narrower rule first, or take the operations out of the wider one."
    STOP_ITERATION = "stop-iteration" Error true
        "the filter may not hold requests";
        "Without `allow_on_headers_stop_iteration: true` Envoy never shows the body of a held request. Every request whose \
         body has to be read is refused (`body_not_seen`).";
        "Write `allow_on_headers_stop_iteration: true` beside `vm_config`. Istio's `WasmPlugin` cannot say it: an `EnvoyFilter` \
         patches the extension `NAMESPACE.NAME`, as in `envoy/istio/envoyfilter.yaml`."
    FAILS_OPEN = "fails-open" Error true
        "requests pass when the filter fails";
        "With `FAIL_OPEN` a request goes to LangGraph unjudged, and its answer unmasked, as soon as the VM has failed or the \
         module could not be fetched.";
        "Write `failure_policy: FAIL_RELOAD` (`failStrategy: FAIL_RELOAD` in Istio)."
    NO_RELOAD = "no-reload" Warning true
        "a failed VM stays failed";
        "A worker whose VM failed answers 503 to everything until Envoy is started again: that is what closed, the default, means.";
        "Write `failure_policy: FAIL_RELOAD` (`failStrategy: FAIL_RELOAD` in Istio): the VM is made anew within a second, and \
         no request passes meanwhile."
    ENVIRONMENT = "environment" Error false
        "a secret that the policy names is not handed to the module";
        "A module sees no environment variable that is not named for it, so `{ env: NAME }` is unset and the policy is refused.";
        "Add the name to `vm_config.environment_variables.host_env_keys` (`vmConfig.env` with `valueFrom: HOST` in Istio)."
    SECRET_INLINE = "secret-inline" Warning false
        "a secret is written into the configuration";
        "A value under `key_values` is in every dump of the configuration, which Envoy's admin page shows to whoever reaches it.";
        "Name the variable under `host_env_keys` and set it in Envoy's environment."
    REMOTE_CODE = "remote-code" Warning false
        "Envoy fetches the module by itself";
        "Envoy's own fetch of modules is discouraged by its authors: a fetch that fails leaves the listener without the filter's \
         configuration, and some versions crash.";
        "Put the module on the proxy's disk (`code: { local: { filename: … } }`), or let Istio's agent or Envoy Gateway fetch it."
    UNPINNED_MODULE = "unpinned-module" Warning false
        "the module's image is not pinned";
        "Without `sha256` whoever can push to the registry decides what judges your requests. Istio does not implement \
         `verificationKey`.";
        "Write the digest that `make dist` prints as `sha256`."
    OPTIONAL_FILTER = "optional-filter" Error true
        "Envoy may leave the filter out";
        "`is_optional: true` lets an Envoy that does not know Wasm start without the filter: everything passes.";
        "Take `is_optional` out."
    TWICE = "twice" Error false
        "the filter is there twice";
        "Requests are judged twice, and the second finds no token: the first has taken it out.";
        "Keep one."
    AFTER_ROUTER = "after-router" Error false
        "the filter stands after the router";
        "The router ends the chain. Envoy refuses a chain in which something follows it.";
        "Put the filter right before `envoy.filters.http.router`."
    BODY_FILTER_BEFORE = "body-filter-before" Warning false
        "a filter before the gate collects or rewrites bodies";
        "It answers 413 by limits of its own, holds masked streams back until they are whole, or keeps what it saw.";
        "Put it behind another listener, or do without. What has to change requests stands before the gate and leaves bodies alone."
    BODY_FILTER_AFTER = "body-filter-after" Error false
        "a filter after the gate can change what was judged";
        "What LangGraph gets is not what the rules, the approvers and the record saw, and what it answers is seen unmasked.";
        "Move it before the gate, so that what it makes is judged."
    CACHE = "cache" Error false
        "answers are cached";
        "A cache before the gate answers without asking it: whoever comes next gets another's answer. Behind the gate one person's \
         data is served for another's request.";
        "Take the cache filter out of this chain."
    COMPRESSOR_SIDE = "compressor-side" Error false
        "the compressor is on the wrong side";
        "Answers run through the chain backwards: a compressor after the gate compresses before the gate can read them, and what \
         cannot be masked is refused.";
        "Move the compressor before the gate: it then compresses what was masked."
    DECOMPRESSOR_SIDE = "decompressor-side" Error false
        "the decompressor is on the wrong side";
        "A decompressor after the gate changes requests that the gate could not read and refused, or that were judged otherwise.";
        "Move it before the gate, or turn off its `request_direction_config`."
    JWT_AUTHN = "jwt-authn" Error false
        "jwt_authn and the policy do not fit each other";
        "With `identity.from: jwt_authn` the gate believes what Envoy's filter verified, which has to run before it. With \
         `from: token` (the default) it verifies the token itself, and a provider without `forward: true` takes the token away.";
        "Put `envoy.filters.http.jwt_authn` before the gate for `from: jwt_authn`; write `forward: true` at its providers for \
         `from: token`."
    ROUTE_TIMEOUT = "route-timeout" Error true
        "a route cuts runs short";
        "A route's `timeout`, 15 s where nothing is said, ends an answer that is not over by then: runs that wait for tools, and \
         every stream.";
        "Write `timeout: 0s` at the route; the idle timeout still ends what hangs."
    REQUEST_TIMEOUT = "request-timeout" Error true
        "requests time out while they wait for a person";
        "`request_timeout` runs while the gate holds a request, and answers 408 before the approver does.";
        "Write `request_timeout: 0s`, or more than the longest `hold`; `request_headers_timeout` covers slow clients."
    IDLE_TIMEOUT = "idle-timeout" Error true
        "a held request counts as idle";
        "`stream_idle_timeout` (or a route's `idle_timeout`) runs while the gate holds a request, and answers 504 before the \
         approver does. Runs that send nothing for so long are cut, too.";
        "Write `stream_idle_timeout: 300s`: longer than the longest `hold` (240 s), and what LangGraph's own clients wait."
    STREAM_DURATION = "stream-duration" Error true
        "streams have an end that they do not know of";
        "`max_stream_duration` ends a request however busy it is, with its hold and its run.";
        "Take it out, or write `0s`."
    RETRIES = "retries" Error false
        "the router repeats requests";
        "A run that was approved once is carried out again when the first answer is late or broken; the record tells of one.";
        "Take `retry_policy` out for LangGraph's routes, or let it repeat only `connect-failure` and `refused-stream`."
    BUFFER_LIMIT = "buffer-limit" Error true
        "the proxy's buffer is smaller than the policy's bodies";
        "A held request waits with its body. Over `per_connection_buffer_limit_bytes`, 1 MiB where nothing is said, Envoy answers 413 \
         by itself, without a reason or a record.";
        "Write a little more than the policy's `limits.request_body`, which is 4 MiB where nothing is said."
    UNKNOWN_CLUSTER = "unknown-cluster" Error false
        "the policy names a cluster that nobody defines";
        "Callouts to it fail at once: keys are not loaded, approvals not asked, records not delivered, and the gate refuses.";
        "Define the cluster, or write the name of the one that is meant."
    ISTIO_CLUSTER = "istio-cluster" Error false
        "this is no name of a cluster in Istio";
        "Istio names clusters `outbound|PORT|SUBSET|HOST`; a callout to another name fails at once.";
        "Write `outbound|PORT||HOST` with the full host, such as `outbound|8400||desk.NAMESPACE.svc.cluster.local`; hosts outside \
         need a `ServiceEntry`."
    BYPASS_DISABLED = "bypass-disabled" Error false
        "the filter is turned off";
        "`disabled: true` at the filter, a virtual host or a route lets requests go by unjudged.";
        "Take it out. What needs no token is named in the policy: `operations.public`. Routes to other services than the gate guards may turn it off."
    BYPASS_ROUTE = "bypass-route" Error false
        "another way leads to LangGraph";
        "A listener, filter chain or cluster of these files reaches the same server without the filter.";
        "Put the filter there too, or take the way out."
    CLUSTER_HEADER = "cluster-header" Error false
        "callers choose where their request goes";
        "`cluster_header` takes the name of the cluster from a header of the request: any cluster, the desk and Envoy's own among them.";
        "Name the cluster."
    DESK_THROUGH_GATE = "desk-through-gate" Error false
        "the desk can be reached through the gate";
        "A route of the gate leads to where the gate asks for approvals and hands in its records. Whoever passes the gate talks to \
         them with the gate's address.";
        "Give the desk a listener of its own, and leave its cluster out of the gate's routes."
    ADMIN_OPEN = "admin-open" Error false
        "Envoy's admin page is open";
        "Whoever reaches it reads the configuration and can turn the proxy off; through a route, any caller can.";
        "Bind it to 127.0.0.1, and lead no route there."
    UPGRADES = "upgrades" Error true
        "protocol upgrades are left on";
        "Frames of a WebSocket cannot be judged or masked. The gate refuses them, and an upgrade with `filters` of its own goes round it.";
        "Take the entry out of `upgrade_configs`, or write `enabled: false`."
    PATH_NORMALIZATION = "path-normalization" Warning true
        "paths reach the gate as they were sent";
        "The gate refuses paths that two parties could read in two ways. Normalised before, harmless ones pass, other filters and \
         routes judge the same path, and escaped slashes end here.";
        "Write `normalize_path: true`, `merge_slashes: true` and `path_with_escaped_slashes_action: REJECT_REQUEST`."
    PATH_REWRITE = "path-rewrite" Error false
        "the path is rewritten after it was judged";
        "The router rewrites after all filters: the gate judges and records one path, LangGraph gets another.";
        "Tell deployments apart by host, or rewrite before the gate (`envoy.filters.http.header_mutation`)."
    ROUTE_HEADERS = "route-headers" Error false
        "the route sets headers that are the gate's to set";
        "`request_headers_to_add` runs after the gate: what it writes into `authorization`, `x-api-key` or `x-graphwarden-*` replaces \
         what the gate vouches for.";
        "Let the policy do it: `identity.upstream.headers`."
    MIRROR = "mirror" Warning false
        "requests are copied to another place";
        "`request_mirror_policies` carries out an approved request twice, and the copy's answer is neither masked nor recorded.";
        "Take it out for LangGraph's routes."
    CHUNKED_LENGTH = "chunked-length" Error true
        "requests with two lengths are let in";
        "With `allow_chunked_length: true` a request may have a content-length and chunks; two servers then see two requests.";
        "Take it out."
    LOG_SECRETS = "log-secrets" Error false
        "the access log keeps credentials";
        "Tokens, keys and cookies in a log are credentials for whoever reads it.";
        "Take the header out of the format; `envoy/access-log.yaml` has what can be logged."
    WASM_MODE = "wasm-mode" Warning true
        "calls of LangGraph's own are judged, too";
        "A `WasmPlugin` without `match: [{ mode: SERVER }]` runs for what the workload sends as well: its calls to models and \
         databases are refused.";
        "Write `match: [{ mode: SERVER }]`; with `CLIENT` it does not guard the workload at all."
}
