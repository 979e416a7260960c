//! A ZIP that hashes what is written into it and ends in a signed list of all of it.

use std::fs::File;
use std::io::{BufWriter, Write};

use graphwarden_policies::evidence::hex;
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::log::LogKey;

/// The ZIP while it is written, one file after the other.
pub(super) struct Archive {
    zip: ZipWriter<BufWriter<File>>,
    name: Option<String>,
    hash: Sha256,
    length: u64,
    done: Vec<(String, String, u64)>,
}

impl Archive {
    pub(super) fn new(out: File) -> Self {
        Self {
            zip: ZipWriter::new(BufWriter::with_capacity(1 << 18, out)),
            name: None,
            hash: Sha256::new(),
            length: 0,
            done: Vec::new(),
        }
    }

    /// Ends the file before and begins one of this name.
    pub(super) fn begin(&mut self, name: &str) -> anyhow::Result<()> {
        self.close();
        self.zip.start_file(name, options())?;
        self.name = Some(name.to_owned());
        Ok(())
    }

    fn close(&mut self) {
        if let Some(name) = self.name.take() {
            let hash = std::mem::replace(&mut self.hash, Sha256::new()).finalize();
            self.done.push((name, hex(&hash), std::mem::take(&mut self.length)));
        }
    }

    /// A file of these bytes.
    pub(super) fn whole(&mut self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.begin(name)?;
        self.write_all(bytes)?;
        Ok(())
    }

    /// Writes the manifest behind `heading` and makes everything durable.
    pub(super) fn finish(mut self, key: &LogKey, heading: &str) -> anyhow::Result<()> {
        self.close();
        self.done.sort();
        let mut text = heading.to_owned();
        for (name, hash, length) in &self.done {
            text.push_str(&format!("{hash} {length} {name}\n"));
        }
        self.zip.start_file("MANIFEST", options())?;
        self.zip.write_all(&key.sign(text.as_bytes())?)?;
        let mut out = self.zip.finish()?;
        out.flush()?;
        out.get_ref().sync_all()?;
        Ok(())
    }
}

impl Write for Archive {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.zip.write(bytes)?;
        let taken = bytes.get(..written).unwrap_or(bytes);
        self.hash.update(taken);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        // Flushing a deflate stream in the middle only makes it longer.
        Ok(())
    }
}

fn options() -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(3))
        .large_file(true)
}
