//! What every measurement of this kind has: an issuer with a token of its, an upstream, and policies.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use graphwarden_stand::{
    Ask, Envoy, EnvoySetup, Filter, Issuer, Part, Person, Port, Site, free_port, standard_policy,
};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::work::{Work, is_masked};
use crate::load::Connection;

/// The parts, as long as something is measured.
pub(super) struct Bench {
    pub(super) site: Site,
    pub(super) runtime: Runtime,
    pub(super) issuer: Issuer,
    pub(super) token: String,
    upstream: Port,
    _part: Part,
}

impl Bench {
    /// Starts the issuer and the upstream.
    pub(super) fn new() -> Result<Self> {
        super::files::allow_many()?;
        let site = Site::new("scale")?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        crate::pin(crate::Core::Load);
        let issuer = runtime.block_on(Issuer::start())?;
        let token = issuer.token(Person::Analyst);
        let upstream = free_port()?;
        let mut program = Command::new(std::env::current_exe().context("own path")?);
        program.args(["scale", "upstream", &upstream.number().to_string()]);
        let mut part = Part::start("upstream", site.folder(), &program)?;
        let number = upstream.number();
        runtime.block_on(
            part.ready(Duration::from_secs(10), async || Ask::get("/").send(number).await.is_ok()),
        )?;
        Ok(Self { site, runtime, issuer, token, upstream, _part: part })
    }

    /// The upstream's port.
    pub(super) fn upstream(&self) -> u16 {
        self.upstream.number()
    }

    /// The shipped policy with the built-in detectors, and reading streams and changing threads allowed. Evidence is
    /// written for all of it.
    pub(super) fn policy(&self) -> Result<Value> {
        let mut policy = standard_policy(&self.issuer)?;
        policy["masking"] = json!({});
        Ok(policy)
    }

    /// That policy in an Envoy with this filter.
    pub(super) fn setup(&self, filter: Filter, policy: Value) -> EnvoySetup {
        let mut setup = EnvoySetup::new(policy, self.upstream(), self.upstream(), self.issuer.port());
        setup.filter = filter;
        setup
    }

    /// Envoy alone, with a filter that does nothing, and with ours.
    pub(super) fn variants(&self) -> Result<[(&'static str, Filter); 3]> {
        Ok([
            ("envoy alone", Filter::Absent),
            ("no-op wasm", self.no_op()?),
            ("graphwarden", Filter::Graphwarden),
        ])
    }

    /// The filter that does nothing.
    pub(super) fn no_op(&self) -> Result<Filter> {
        crate::module(&self.site, "noop").map(Filter::Module)
    }

    /// Starts Envoy on the proxy's core and waits until it answers as its filter has to.
    pub(super) fn envoy(&self, name: &str, setup: &EnvoySetup) -> Result<Envoy> {
        crate::pin(crate::Core::Proxy);
        let started = self.runtime.block_on(Envoy::start_on(
            free_port()?,
            free_port()?,
            &name.replace(' ', "-"),
            &self.site,
            setup,
        ));
        crate::pin(crate::Core::Load);
        let envoy = started?;
        let ours = matches!(setup.filter, Filter::Graphwarden | Filter::Build(_));
        let request = Work::Json(4096).request(&self.token);
        let mut last = String::new();
        for _ in 0..100 {
            match Connection::open(envoy.port())?.exchange(&request) {
                Ok(answer) => {
                    ensure!(is_masked(answer)? == ours, "{name}: masked is not {ours}");
                    return Ok(envoy);
                }
                Err(error) => last = format!("{error:#}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(anyhow::anyhow!("{name} never answered 200: {last}"))
    }
}

/// Lets this thread, and what it starts from now on, run on every core: V8 compiles on as many as there are.
pub(super) fn everywhere() {
    let mut set = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|core| set.set(core));
    // Where the kernel refuses, everything stays where it is.
    let _ = sched_setaffinity(None, &set);
}

/// Processor time of an Envoy's so far, in microseconds.
pub(super) fn processor(envoy: &Envoy) -> Result<f64> {
    let time =
        envoy.processor_time().context("this system does not tell what processor time a process used")?;
    Ok(time.as_secs_f64() * 1e6)
}

/// Processor time that an Envoy takes while nobody asks anything, in milliseconds a second.
pub(super) fn idle(envoy: &Envoy) -> Result<f64> {
    const WATCHED: Duration = Duration::from_secs(2);
    std::thread::sleep(Duration::from_millis(500));
    let (before, began) = (processor(envoy)?, Instant::now());
    std::thread::sleep(WATCHED);
    Ok((processor(envoy)? - before) / 1e3 / began.elapsed().as_secs_f64())
}

/// Resident memory of an Envoy's, in KiB.
pub(super) fn memory(envoy: &Envoy) -> Result<f64> {
    let memory = envoy.memory().context("this system does not tell what memory a process has")?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(memory as f64 / 1024.0)
}
