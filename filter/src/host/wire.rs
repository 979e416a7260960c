//! Host calls, each with its failure turned into a value.

use std::cell::Cell;
use std::time::{Duration, Instant};

use graphwarden_policies::identity::NativeVerifier;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType, Status};

use crate::document::metadata_to_json;
use crate::exchange::{Edit, Moment, Pairs, Reply, Wall};
use crate::native;
use crate::root::Call;

/// The host's clock that nobody sets.
pub(super) fn now() -> Moment {
    // A module has no memory of an instant of its host's but one that it took itself.
    thread_local!(static FIRST: Instant = Instant::now());
    let since = FIRST.with(Instant::elapsed);
    Moment(u64::try_from(since.as_micros()).unwrap_or(u64::MAX).saturating_add(1))
}

/// For how long the host's time of day is known without asking it.
const KNOWN: Duration = Duration::from_millis(10);

/// The host's time of day at this moment. Several events of a request need it, and it goes as the clock that nobody
/// sets goes, but where somebody sets it.
pub(super) fn wall_at(now: Moment) -> Wall {
    thread_local!(static ASKED: Cell<Option<(Moment, Wall)>> = const { Cell::new(None) });
    match ASKED.get() {
        Some((asked, wall)) if now.since(asked) < KNOWN => wall.after(now.since(asked)),
        _ => {
            let wall = wall();
            ASKED.set(Some((now, wall)));
            wall
        }
    }
}

/// The host's time of day.
pub(super) fn wall() -> Wall {
    let since = hostcalls::get_current_time()
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .unwrap_or_default();
    Wall(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

pub(super) fn log(level: LogLevel, message: &str) {
    // There is nowhere to report that reporting failed.
    let _ = hostcalls::log(level, message);
}

/// All pairs of a header map, names in lower case as Envoy keeps them.
pub(super) fn pairs(map: MapType) -> Pairs {
    let pairs = hostcalls::get_map_bytes(map).unwrap_or_default();
    pairs.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect()
}

/// Exactly `size` bytes of a buffer from `start`, or `None`.
pub(super) fn bytes(buffer: BufferType, start: usize, size: usize) -> Option<Vec<u8>> {
    if size == 0 {
        return Some(Vec::new());
    }
    hostcalls::get_buffer(buffer, start, size).ok().flatten().filter(|bytes| bytes.len() == size)
}

/// How much memory this VM has, in bytes. It never shrinks.
pub(super) fn memory() -> u64 {
    #[cfg(target_arch = "wasm32")]
    let pages = core::arch::wasm32::memory_size(0);
    // Only Envoy asks; elsewhere there is no VM.
    #[cfg(not(target_arch = "wasm32"))]
    let pages = 0_usize;
    u64::try_from(pages).unwrap_or(u64::MAX).saturating_mul(64 << 10)
}

/// Empties the request's buffer, in the callback that brought its `size` bytes.
pub(super) fn drop_request_body(size: usize) {
    if size > 0 {
        let _ = hostcalls::set_buffer(BufferType::HttpRequestBody, 0, size, &[]);
    }
}

/// Empties the request's trailers, in the callback that brought them.
pub(super) fn drop_request_trailers() {
    let _ = hostcalls::set_map_bytes(MapType::HttpRequestTrailers, Vec::new());
}

/// Replaces the `size` bytes of the request's body, all of which the host holds.
pub(super) fn replace_request_body(size: usize, with: &[u8]) -> bool {
    hostcalls::set_buffer(BufferType::HttpRequestBody, 0, size, with).is_ok()
}

/// Where the workers tell each other that LangGraph's answers may have changed: a number that only grows.
const LOOKUP_EPOCH: &str = "graphwarden.lookup_epoch";

/// The number, where there is one.
pub(super) fn lookup_epoch() -> Option<u64> {
    let (bytes, _) = hostcalls::get_shared_data(LOOKUP_EPOCH).ok()?;
    Some(u64::from_le_bytes(bytes?.try_into().ok()?))
}

/// Makes the number larger and returns it. `own` is the last that this worker saw.
pub(super) fn next_lookup_epoch(own: u64) -> u64 {
    let mut next = own.wrapping_add(1);
    // Whoever comes in between has made it larger too; a few tries are enough for all workers.
    for _ in 0..16 {
        let (bytes, cas) = hostcalls::get_shared_data(LOOKUP_EPOCH).unwrap_or((None, None));
        let known = bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
        next = known.max(own).wrapping_add(1);
        if hostcalls::set_shared_data(LOOKUP_EPOCH, Some(&next.to_le_bytes()), cas).is_ok() {
            break;
        }
    }
    next
}

/// Replaces the `size` bytes of the response's piece.
pub(super) fn replace_piece(size: usize, with: &[u8]) -> bool {
    hostcalls::set_buffer(BufferType::HttpResponseBody, 0, size, with).is_ok()
}

pub(super) fn edit(map: MapType, edits: &[Edit]) -> bool {
    edits.iter().all(|edit| {
        match edit {
            Edit::Remove(name) => hostcalls::remove_map_value(map, name),
            Edit::Set(name, value) => hostcalls::set_map_value_bytes(map, name, Some(value)),
        }
        .is_ok()
    })
}

pub(super) fn reply(reply: &Reply) -> bool {
    let headers = reply.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    hostcalls::send_http_response(u32::from(reply.status), headers, Some(&reply.body)).is_ok()
}

/// Makes a call. `None` where the host knows no such cluster, or it has no hosts.
pub(super) fn call(call: &Call) -> Option<u32> {
    let headers = call.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let body = (!call.body.is_empty()).then_some(call.body.as_slice());
    hostcalls::dispatch_http_call(&call.cluster, headers, body, Vec::new(), call.timeout).ok()
}

/// The status of the answer to a call; `None` where there is none.
pub(super) fn call_status() -> Option<u16> {
    let value = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, ":status").ok()??;
    std::str::from_utf8(&value).ok()?.parse().ok()
}

/// A property's text; what is not UTF-8 is replaced.
pub(super) fn text_property(path: &[&str]) -> Option<String> {
    let value = hostcalls::get_property(path.to_vec()).ok().flatten()?;
    (!value.is_empty()).then(|| String::from_utf8_lossy(&value).into_owned())
}

/// Sets filter state of the stream; Envoy puts `wasm.` before the name.
pub(super) fn set_filter_state(name: &str, value: &str) {
    let _ = hostcalls::set_property(vec![name], Some(value.as_bytes()));
}

/// What stands under `key` in a namespace of the stream's dynamic metadata, in JSON.
pub(super) fn dynamic_metadata(namespace: &str, key: &str) -> Option<Vec<u8>> {
    // Asked for by a longer path, Envoy answers with pairs that have lost their types; whole, with the message.
    let metadata = hostcalls::get_property(vec!["metadata"]).ok().flatten()?;
    metadata_to_json(&metadata, namespace, key)
}

pub(super) fn define(kind: MetricType, name: &str) -> Option<u32> {
    hostcalls::define_metric(kind, name).ok()
}

pub(super) fn increment(id: u32, by: u64) {
    // An increment that is not positive is an error to the host.
    if let Some(by) = i64::try_from(by).ok().filter(|by| *by > 0) {
        let _ = hostcalls::increment_metric(id, by);
    }
}

/// Adds to a gauge, or takes away.
pub(super) fn shift_gauge(id: u32, by: i64) {
    let _ = hostcalls::increment_metric(id, by);
}

/// Registers a queue whose items call the root.
pub(super) fn register_queue(name: &str) -> Option<u32> {
    hostcalls::register_shared_queue(name).ok()
}

/// Puts an item into a queue. False where there is no such queue.
pub(super) fn enqueue(queue: u32) -> bool {
    hostcalls::enqueue_shared_queue(queue, None).is_ok()
}

/// Takes an item out of a queue.
pub(super) fn dequeue(queue: u32) {
    let _ = hostcalls::dequeue_shared_queue(queue);
}

pub(super) fn tick_every(period: Duration) {
    let _ = hostcalls::set_tick_period(period);
}

/// Makes host calls count for another context. False where it is gone.
pub(super) fn act_as(context: u32) -> bool {
    hostcalls::set_effective_context(context).is_ok()
}

pub(super) fn resume_request() {
    let _ = hostcalls::resume_http_request();
}

pub(super) fn done() {
    let _ = hostcalls::done();
}

/// Envoy's own signature check: 45 µs, where pure WebAssembly takes 2 ms.
#[derive(Debug)]
pub(super) struct HostVerifier;

impl NativeVerifier for HostVerifier {
    fn verify(&self, hash: &str, spki_der: &[u8], signature: &[u8], message: &[u8]) -> Option<bool> {
        let question = native::question(hash, spki_der, signature, message);
        match hostcalls::call_foreign_function("verify_signature", Some(&question)) {
            Ok(answer) => Some(native::says_verified(&answer.unwrap_or_default())),
            // The host has no such function.
            Err(Status::NotFound) => None,
            // It has, and could not verify: a signature that cannot be checked is not valid.
            Err(_) => Some(false),
        }
    }
}
