//! Makes what is handed out of what was built: the module and the program, an image of each, the chart, and their
//! checksums.
//!
//! Everything is a function of the files it is given: the same files make the same bytes, on any machine and on any
//! day. It builds nothing and reaches no network; `make dist` runs it, and people push the images with whatever
//! tool they have (`docs/releases.md`).

mod chart;
mod image;
mod layer;
mod program;
mod sums;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;

use image::Image;
use layer::Layer;

/// Whom the program runs as in its image: nobody in particular, and not root.
const USER: u32 = 65_532;

/// Makes `DIR` anew: module, program, images, chart, checksums.
#[derive(Debug, Parser)]
struct Args {
    /// The module
    #[arg(long, value_name = "FILE")]
    module: PathBuf,
    /// The program, linked statically
    #[arg(long, value_name = "FILE")]
    program: PathBuf,
    /// The certificates of the authorities that the program trusts, as PEM
    #[arg(long, value_name = "FILE")]
    authorities: PathBuf,
    /// The folder of the Helm chart
    #[arg(long, value_name = "DIR")]
    chart: PathBuf,
    /// The licence, which goes with the program
    #[arg(long, value_name = "FILE")]
    license: PathBuf,
    /// More files to hand out as they are, such as bills of materials
    #[arg(long, value_name = "FILE")]
    with: Vec<PathBuf>,
    /// Where it all goes; what was there is removed
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let read = |path: &PathBuf| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let module = read(&args.module)?;
    let program = read(&args.program)?;
    let platform = program::platform(&program).with_context(|| args.program.display().to_string())?;

    if args.out.exists() {
        fs::remove_dir_all(&args.out).with_context(|| format!("cannot remove {}", args.out.display()))?;
    }
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = args.out.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };

    write("graphwarden-filter.oci.tar", &filter_image(&module)?.archive()?)?;
    let files = ProgramFiles {
        program: &program,
        authorities: &read(&args.authorities)?,
        license: &read(&args.license)?,
    };
    write("graphwarden.oci.tar", &program_image(&files, platform)?.archive()?)?;
    write("graphwarden.wasm", &module)?;
    write(&format!("graphwarden-linux-{platform}"), &program)?;
    write(&format!("graphwarden-chart-{}.tgz", env!("CARGO_PKG_VERSION")), &chart::archive(&args.chart)?)?;
    for path in &args.with {
        let name = path.file_name().and_then(|name| name.to_str()).context("a file without a name")?;
        write(name, &read(path)?)?;
    }
    program::make_executable(&args.out.join(format!("graphwarden-linux-{platform}")))?;
    sums::write(&args.out)
}

/// The module as the single-layer image that Istio and Envoy Gateway take: a gzipped tar with `plugin.wasm` in it, in
/// an OCI manifest (the "compat" variant of the Wasm image specification, which any tool can push and any registry
/// keeps).
fn filter_image(module: &[u8]) -> Result<Image> {
    let mut layer = Layer::new();
    layer.file("plugin.wasm", module, 0o644, 0)?;
    Ok(Image {
        layers: vec![layer.finish()?],
        architecture: "wasm",
        os: "wasip1",
        title: "graphwarden-filter",
        description: "The Graphwarden filter for Envoy, Istio and Envoy Gateway",
        run: None,
    })
}

/// What the program's image is made of.
struct ProgramFiles<'a> {
    program: &'a [u8],
    authorities: &'a [u8],
    license: &'a [u8],
}

/// The program alone: no shell, no libraries, a folder of its own for the database, and not root.
fn program_image(files: &ProgramFiles<'_>, platform: &'static str) -> Result<Image> {
    let mut base = Layer::new();
    base.folder("etc", 0o755, 0)?;
    base.folder("etc/ssl", 0o755, 0)?;
    base.folder("etc/ssl/certs", 0o755, 0)?;
    base.file("etc/ssl/certs/ca-certificates.crt", files.authorities, 0o644, 0)?;
    base.file("etc/passwd", format!("graphwarden:x:{USER}:{USER}::/data:/none\n").as_bytes(), 0o644, 0)?;
    base.file("etc/group", format!("graphwarden:x:{USER}:\n").as_bytes(), 0o644, 0)?;
    base.folder("tmp", 0o1777, 0)?;
    base.folder("data", 0o750, USER)?;
    let mut own = Layer::new();
    own.file("LICENSE", files.license, 0o644, 0)?;
    own.file("graphwarden", files.program, 0o755, 0)?;
    Ok(Image {
        layers: vec![base.finish()?, own.finish()?],
        architecture: platform,
        os: "linux",
        title: "graphwarden",
        description: "The Graphwarden desk and command line",
        run: Some(image::Run {
            user: format!("{USER}:{USER}"),
            folder: "/data",
            entrypoint: "/graphwarden",
            arguments: &["serve"],
            environment: &[
                "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
                "GRAPHWARDEN_LISTEN=0.0.0.0:8400",
                "GRAPHWARDEN_DATABASE=/data/desk.db",
            ],
            port: "8400/tcp",
        }),
    })
}
