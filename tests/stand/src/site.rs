//! Where one test keeps its logs and configuration, and what becomes of them afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};

use crate::tools::Tools;

/// A folder `target/stand/NAME` for the files of one test; removed when the test passes.
#[derive(Debug)]
pub struct Site {
    folder: PathBuf,
    keep: AtomicBool,
    tools: Tools,
}

impl Site {
    /// An empty folder of that name. What a failed run left there is cleared first.
    pub fn new(name: &str) -> Result<Self> {
        let tools = Tools::find();
        let folder = tools.root().join("target/stand").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self { folder, keep: AtomicBool::new(true), tools })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Programs and files that the build left.
    #[must_use]
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// Writes a file into the folder and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// All went well: the files may go.
    pub fn passed(&self) {
        self.keep.store(false, Ordering::Relaxed);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let wanted = std::env::var_os("KEEP_LOGS").is_some();
        if !wanted && !self.keep.load(Ordering::Relaxed) {
            // A part that is slow to die may still write; the next run clears what stays behind.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Runs one end-to-end test. A failure names the folder that keeps its logs.
///
/// # Panics
/// When the test fails: that is how libtest is told.
pub fn run<Test>(name: &str, test: Test)
where
    Test: AsyncFnOnce(&Site) -> Result<()>,
{
    let site = Site::new(name).unwrap_or_else(|error| panic!("{error:#}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap_or_else(|error| panic!("no runtime: {error}"));
    match runtime.block_on(test(&site)) {
        Ok(()) => site.passed(),
        Err(error) => panic!("{error:#}\nlogs: {}", site.folder().display()),
    }
}
