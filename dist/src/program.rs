//! What has to be true of the program before it is alone in an image: it asks for no other file to run.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use object::elf::PT_INTERP;
use object::read::elf::{ElfFile64, ProgramHeader as _};
use object::{Architecture, Object as _};

/// The architecture, as images name it.
pub(crate) fn platform(program: &[u8]) -> Result<&'static str> {
    let file =
        ElfFile64::<object::Endianness>::parse(program).context("this is no program of 64-bit Linux")?;
    let endian = file.endian();
    let interpreted = file.elf_program_headers().iter().any(|header| header.p_type(endian) == PT_INTERP);
    ensure!(!interpreted, "it asks for a dynamic linker; `make program` links it statically on Linux");
    match file.architecture() {
        Architecture::X86_64 => Ok("amd64"),
        Architecture::Aarch64 => Ok("arm64"),
        other => bail!("no image is made for {other:?}"),
    }
}

/// Lets everyone run it.
pub(crate) fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))
}
