//! One layer of an image: a gzipped tar without a date, a user's name or an order that depends on the machine.

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

/// A layer that is being filled.
pub(crate) struct Layer {
    tar: Builder<Vec<u8>>,
}

/// A layer as it goes into an image.
#[derive(Debug)]
pub(crate) struct Blob {
    /// The gzipped bytes.
    pub(crate) bytes: Vec<u8>,
    /// The digest of the tar in it, which the image's configuration names (`rootfs.diff_ids`).
    pub(crate) diff_id: String,
}

impl Layer {
    pub(crate) fn new() -> Self {
        Self { tar: Builder::new(Vec::new()) }
    }

    /// Adds a file that belongs to this user.
    pub(crate) fn file(&mut self, path: &str, bytes: &[u8], mode: u32, owner: u32) -> Result<()> {
        let mut header = header(EntryType::Regular, mode, owner);
        header.set_size(bytes.len() as u64);
        self.tar.append_data(&mut header, path, bytes).with_context(|| format!("{path} in a layer"))
    }

    /// Adds a folder that belongs to this user.
    pub(crate) fn folder(&mut self, path: &str, mode: u32, owner: u32) -> Result<()> {
        let mut header = header(EntryType::Directory, mode, owner);
        header.set_size(0);
        self.tar
            .append_data(&mut header, format!("{path}/"), &[][..])
            .with_context(|| format!("{path} in a layer"))
    }

    /// Compresses it.
    pub(crate) fn finish(self) -> Result<Blob> {
        let tar = self.tar.into_inner().context("a layer's tar")?;
        // The header names neither a time nor a system: both would differ from machine to machine.
        let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
        std::io::Write::write_all(&mut gzip, &tar).context("a layer's gzip")?;
        Ok(Blob { bytes: gzip.finish().context("a layer's gzip")?, diff_id: digest(&tar) })
    }
}

/// The digest of a blob as images write it.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", base16ct::lower::encode_string(&Sha256::digest(bytes)))
}

fn header(kind: EntryType, mode: u32, owner: u32) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(owner.into());
    header.set_gid(owner.into());
    header.set_mtime(0);
    header
}
