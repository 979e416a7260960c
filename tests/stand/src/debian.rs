//! Programs that come with a package of Debian's: there, or left out with a line that says so. With `CI` set nothing
//! is left out.

use std::path::PathBuf;

use anyhow::{Result, ensure};

/// Finds the program on the path.
pub fn debian_program(name: &str, package: &str) -> Result<Option<PathBuf>> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        ensure!(
            std::env::var_os("CI").is_none(),
            "{name} is not installed (apt-get install {package}), and with CI set nothing is left out"
        );
        eprintln!("left out: {name} is not installed (apt-get install {package})");
    }
    Ok(found)
}
