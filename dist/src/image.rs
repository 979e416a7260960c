//! An image as an OCI archive: a tar of an image layout (`oci-layout`, `index.json`, `blobs/sha256/…`), which skopeo,
//! podman, crane and a current Docker read as it is.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use oci_spec::image::{
    ANNOTATION_DESCRIPTION, ANNOTATION_LICENSES, ANNOTATION_REF_NAME, ANNOTATION_TITLE, ANNOTATION_VERSION,
    ConfigBuilder, Descriptor, DescriptorBuilder, Digest, ImageConfigurationBuilder, ImageIndexBuilder,
    ImageManifestBuilder, MediaType, OciLayoutBuilder, RootFsBuilder,
};
use tar::{Builder, EntryType, Header};

use crate::layer::{Blob, digest};

/// The version that the images are labelled with.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What an image holds and says.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) layers: Vec<Blob>,
    pub(crate) architecture: &'static str,
    pub(crate) os: &'static str,
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
    /// How to run it, where it can be run.
    pub(crate) run: Option<Run>,
}

/// How an image is run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) user: String,
    pub(crate) folder: &'static str,
    pub(crate) entrypoint: &'static str,
    pub(crate) arguments: &'static [&'static str],
    pub(crate) environment: &'static [&'static str],
    pub(crate) port: &'static str,
}

impl Image {
    /// The whole image as one tar, blobs in the order of their digests.
    pub(crate) fn archive(&self) -> Result<Vec<u8>> {
        let config = self.configuration()?;
        let layers = self
            .layers
            .iter()
            .map(|layer| descriptor(MediaType::ImageLayerGzip, &layer.bytes))
            .collect::<Result<Vec<_>>>()?;
        let manifest = ImageManifestBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageManifest)
            .config(descriptor(MediaType::ImageConfig, &config)?)
            .layers(layers)
            .annotations(self.annotations())
            .build()
            .context("an image's manifest")?;
        let manifest = canonical(&manifest)?;
        let mut named = descriptor(MediaType::ImageManifest, &manifest)?;
        named.set_annotations(Some(HashMap::from([(ANNOTATION_REF_NAME.to_owned(), VERSION.to_owned())])));
        let index = ImageIndexBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageIndex)
            .manifests([named])
            .build()
            .context("an image's index")?;
        let layout = OciLayoutBuilder::default().image_layout_version("1.0.0").build().context("a layout")?;

        let mut files: Vec<(String, &[u8])> = self
            .layers
            .iter()
            .map(|layer| layer.bytes.as_slice())
            .chain([config.as_slice(), manifest.as_slice()])
            .map(|bytes| (format!("blobs/{}", digest(bytes).replace(':', "/")), bytes))
            .collect();
        let (index, layout) = (canonical(&index)?, canonical(&layout)?);
        files.push(("index.json".to_owned(), &index));
        files.push(("oci-layout".to_owned(), &layout));
        files.sort();
        files.dedup();
        archive(&files)
    }

    fn configuration(&self) -> Result<Vec<u8>> {
        let root = RootFsBuilder::default()
            .typ("layers")
            .diff_ids(self.layers.iter().map(|layer| layer.diff_id.clone()).collect::<Vec<_>>())
            .build()
            .context("an image's file system")?;
        let mut config = ConfigBuilder::default().labels(self.annotations());
        if let Some(run) = &self.run {
            let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            config = config
                .user(run.user.clone())
                .working_dir(run.folder)
                .entrypoint([run.entrypoint.to_owned()])
                .cmd(owned(run.arguments))
                .env(owned(run.environment))
                .exposed_ports([run.port.to_owned()])
                .volumes([run.folder.to_owned()]);
        }
        let configuration = ImageConfigurationBuilder::default()
            .architecture(self.architecture)
            .os(self.os)
            .config(config.build().context("an image's settings")?)
            .rootfs(root)
            .build()
            .context("an image's configuration")?;
        canonical(&configuration)
    }

    fn annotations(&self) -> HashMap<String, String> {
        let pairs = [
            (ANNOTATION_TITLE, self.title),
            (ANNOTATION_DESCRIPTION, self.description),
            (ANNOTATION_VERSION, VERSION),
            (ANNOTATION_LICENSES, env!("CARGO_PKG_LICENSE")),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// JSON with its names in order: the library keeps annotations in a map that has none.
fn canonical(document: &impl serde::Serialize) -> Result<Vec<u8>> {
    let value = serde_json::to_value(document).context("an image's document")?;
    serde_json::to_vec(&value).context("an image's document")
}

fn descriptor(kind: MediaType, bytes: &[u8]) -> Result<Descriptor> {
    DescriptorBuilder::default()
        .media_type(kind)
        .digest(digest(bytes).parse::<Digest>().context("a digest")?)
        .size(bytes.len() as u64)
        .build()
        .context("a descriptor")
}

fn archive(files: &[(String, &[u8])]) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, path, *bytes).with_context(|| format!("{path} in an archive"))?;
    }
    tar.into_inner().context("an archive")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Layer;

    fn image() -> Image {
        let mut layer = Layer::new();
        layer.folder("data", 0o750, 7).unwrap();
        layer.file("data/plugin.wasm", b"\0asm", 0o644, 7).unwrap();
        Image {
            layers: vec![layer.finish().unwrap()],
            architecture: "wasm",
            os: "wasip1",
            title: "a",
            description: "b",
            run: None,
        }
    }

    #[test]
    fn the_same_files_make_the_same_bytes() {
        // The library's maps have a seed of their own each: eight of them would not agree by chance.
        let first = image().archive().unwrap();
        for _ in 0..8 {
            assert!(image().archive().unwrap() == first);
        }
    }

    #[test]
    fn every_blob_has_the_name_of_its_digest_and_the_index_leads_to_all() {
        let archive = image().archive().unwrap();
        let mut blobs = HashMap::new();
        let mut index = None;
        for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            match path.strip_prefix("blobs/sha256/") {
                Some(name) => {
                    assert_eq!(digest(&bytes), format!("sha256:{name}"));
                    blobs.insert(format!("sha256:{name}"), bytes);
                }
                None if path == "index.json" => index = Some(bytes),
                None => assert_eq!(path, "oci-layout"),
            }
        }
        let index: serde_json::Value = serde_json::from_slice(&index.unwrap()).unwrap();
        let manifest = &blobs[index["manifests"][0]["digest"].as_str().unwrap()];
        let manifest: serde_json::Value = serde_json::from_slice(manifest).unwrap();
        for part in [&manifest["config"], &manifest["layers"][0]] {
            assert_eq!(part["size"], blobs[part["digest"].as_str().unwrap()].len());
        }
        assert_eq!(blobs.len(), 3);
    }
}
