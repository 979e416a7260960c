//! `graphwarden init`: writes a policy, Envoy's configuration and a compose file that work, and says what to do next.

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use url::Url;

use crate::init::{Answers, File, PRESETS, Preset, Provider, ProviderError, discover, files, url};

/// What can be told to `init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is not told is asked, on a terminal. LANGGRAPH_API_KEY, where it is set, becomes the key that the gate shows LangGraph.")]
pub struct Args {
    /// Where the files go
    #[arg(value_name = "FOLDER", default_value = "graphwarden")]
    folder: PathBuf,
    /// The OIDC issuer: the `iss` of its tokens
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Where LangGraph answers
    #[arg(long, value_name = "URL", value_parser = url)]
    langgraph: Option<Url>,
    /// The policy to start from
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(PRESETS.iter().map(|preset| preset.name)))]
    preset: Option<String>,
    /// What tokens have to be for
    #[arg(long, value_name = "AUDIENCE", default_value = "langgraph")]
    audience: String,
    /// Where callers reach the gate
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080", value_parser = address)]
    listen: (String, u16),
    /// Where approvers reach the desk
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8400", value_parser = address)]
    desk: (String, u16),
    /// Everything runs on this machine, without containers and without a compose file
    #[arg(long)]
    local: bool,
    /// The module; with containers it is copied into the folder
    #[arg(long, value_name = "FILE", default_value = "target/graphwarden.wasm")]
    module: PathBuf,
    /// Write over files that are there; secrets that are there are kept
    #[arg(long)]
    force: bool,
    /// Do not ask the issuer for its discovery document
    #[arg(long)]
    offline: bool,
}

fn address(text: &str) -> Result<(String, u16), String> {
    let wrong = || "write it as in 127.0.0.1:8080".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    if host.is_empty() { Err(wrong()) } else { Ok((host.to_owned(), port)) }
}

/// Asks what is missing, writes, and says what comes next.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let asking = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let missing: Vec<&str> =
        [("--issuer URL", args.issuer.is_none()), ("--langgraph URL", args.langgraph.is_none())]
            .iter()
            .filter_map(|(flag, missing)| missing.then_some(*flag))
            .collect();
    if !missing.is_empty() && !asking {
        anstream::eprintln!(
            "graphwarden: {} is missing, and there is no terminal to ask on",
            missing.join(" and ")
        );
        return Ok(ExitCode::from(2));
    }
    let (issuer, provider) = issuer(&args, asking)?;
    let langgraph = match args.langgraph.clone() {
        Some(url) => url,
        None => ask("Where does LangGraph answer?", Some("http://localhost:2024"), url)?,
    };
    let preset = match &args.preset {
        Some(name) => name.clone(),
        None if asking => choose()?,
        None => PRESETS.first().map(|preset| preset.name.to_owned()).unwrap_or_default(),
    };
    let folder = absolute(&args.folder)?;
    let module = absolute(&args.module)?;
    let text = |path: &Path| {
        path.to_str().map(str::to_owned).context("a path has to be text for Envoy's configuration")
    };
    let answers = Answers {
        issuer,
        langgraph,
        preset: Preset::named(&preset).context("no such preset")?,
        audience: args.audience.clone(),
        listen: args.listen.clone(),
        desk: args.desk.clone(),
        module: if args.local { text(&module)? } else { "/etc/envoy/graphwarden.wasm".to_owned() },
        folder: if args.local { text(&folder.join("gate"))? } else { "/etc/envoy/gate".to_owned() },
        containers: !args.local,
        langgraph_key: std::env::var("LANGGRAPH_API_KEY").ok().filter(|key| !key.is_empty()),
    };
    if answers.langgraph_key.as_ref().is_some_and(|key| key.contains(|c: char| c.is_control() || c == '\'')) {
        bail!("LANGGRAPH_API_KEY has a quote or control characters in it");
    }
    let files = files(&answers, provider.as_ref())?;
    write(&args, &files)?;
    let has_module = place_module(&args, &module)?;
    next(&args, &answers, has_module);
    Ok(ExitCode::SUCCESS)
}

/// The issuer, and what it says about itself where it can be asked.
fn issuer(args: &Args, asking: bool) -> anyhow::Result<(String, Option<Provider>)> {
    let runtime = super::runtime()?;
    let known = |text: &str| url(text).map(|_| text.trim().to_owned());
    let mut told = args.issuer.clone();
    loop {
        let issuer = match told.take() {
            Some(issuer) => known(&issuer).map_err(|error| anyhow::anyhow!("--issuer {issuer}: {error}"))?,
            None => ask("Which OIDC issuer signs your callers' tokens?", None, known)?,
        };
        if args.offline {
            return Ok((issuer, None));
        }
        match runtime.block_on(discover(&issuer)) {
            Ok(provider) => {
                anstream::eprintln!("{issuer}: found, signs with {}", provider.algorithms().join(", "));
                return Ok((issuer, Some(provider)));
            }
            // The gate may reach what this machine does not.
            Err(error @ ProviderError::Unreachable { .. }) => {
                anstream::eprintln!("warning: {error}; going on without its word");
                return Ok((issuer, None));
            }
            Err(error) if asking && args.issuer.is_none() => anstream::eprintln!("{error}"),
            Err(error) => bail!("{error} (--offline does not ask it)"),
        }
    }
}

/// Asks until the answer can be read. Nothing answers with the default.
fn ask<T>(
    question: &str,
    default: Option<&str>,
    read: impl Fn(&str) -> Result<T, String>,
) -> anyhow::Result<T> {
    let hint = default.map(|default| format!(" [{default}]")).unwrap_or_default();
    loop {
        anstream::eprint!("{question}{hint} ");
        std::io::stderr().flush()?;
        let mut line = String::new();
        ensure!(std::io::stdin().read_line(&mut line)? > 0, "no answer");
        let answer = match (line.trim(), default) {
            ("", Some(default)) => default,
            (answer, _) => answer,
        };
        match read(answer) {
            Ok(value) => return Ok(value),
            Err(error) => anstream::eprintln!("  {error}"),
        }
    }
}

fn choose() -> anyhow::Result<String> {
    anstream::eprintln!("Which policy do you start from?");
    for (index, preset) in PRESETS.iter().enumerate() {
        anstream::eprintln!("  {}  {:<18} {}", index + 1, preset.name, preset.about);
    }
    ask("Number or name", Some("1"), |answer| {
        let by_number = answer.parse::<usize>().ok().and_then(|number| PRESETS.get(number.wrapping_sub(1)));
        let preset = by_number.or_else(|| Preset::named(answer));
        preset.map(|preset| preset.name.to_owned()).ok_or_else(|| "there is no such policy".to_owned())
    })
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| path.display().to_string())
}

fn write(args: &Args, files: &[File]) -> anyhow::Result<()> {
    let there: Vec<&str> =
        files.iter().map(|file| file.name).filter(|name| args.folder.join(name).exists()).collect();
    if !there.is_empty() && !args.force {
        bail!("{} has {} already; --force writes over them", args.folder.display(), there.join(", "));
    }
    for file in files {
        let path = args.folder.join(file.name);
        // Another key would make nonsense of the records' digests.
        if file.secret && path.exists() {
            anstream::eprintln!("kept {}", path.display());
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        let mode = if file.secret { 0o600 } else { 0o644 };
        let mut options = fs::OpenOptions::new();
        let mut out = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        out.write_all(file.text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

/// Copies the module beside the compose file that mounts it. `false` where there is none yet.
fn place_module(args: &Args, module: &Path) -> anyhow::Result<bool> {
    if args.local || !module.is_file() {
        return Ok(module.is_file() || args.folder.join("graphwarden.wasm").is_file());
    }
    let path = args.folder.join("graphwarden.wasm");
    fs::copy(module, &path).with_context(|| format!("cannot copy {}", module.display()))?;
    println!("wrote {}", path.display());
    Ok(true)
}

fn next(args: &Args, answers: &Answers, has_module: bool) {
    let folder = args.folder.display();
    let (host, port) = &answers.listen;
    let mut steps = Vec::new();
    if !has_module {
        let path = if args.local { answers.module.clone() } else { format!("{folder}/graphwarden.wasm") };
        steps.push(format!("put the module at {path} (`make wasm` makes target/graphwarden.wasm)"));
    }
    steps.push(format!(
        "look at who may do what in {folder}/gate/filter.yaml:\n     graphwarden check {folder}/gate/filter.yaml"
    ));
    let (desk_host, desk_port) = &answers.desk;
    if args.local {
        steps.push(format!(
            "start the desk and Envoy:\n     cd {folder} && set -a && . ./.env && set +a\n     graphwarden serve --listen \
             {desk_host}:{desk_port} --issuer {} &\n     envoy -c envoy.yaml",
            answers.issuer
        ));
    } else {
        steps.push(format!("start both:\n     cd {folder} && docker compose up"));
    }
    steps.push(format!(
        "send something with a token of your issuer whose audience is `{}`:\n     curl -H \"authorization: Bearer $TOKEN\" \
         -H 'content-type: application/json' -d '{{}}' http://{host}:{port}/assistants/search",
        answers.audience
    ));
    steps.push(format!(
        "register http://{desk_host}:{desk_port}/sign-in/callback with the issuer for the client `graphwarden-desk`, so that \
         approvers can sign in at http://{desk_host}:{desk_port}"
    ));
    steps.push(
        "close every other way to LangGraph: what does not come through the gate is not judged".to_owned(),
    );
    println!("\nNext:");
    for (number, step) in steps.iter().enumerate() {
        println!("  {}. {step}", number + 1);
    }
}
