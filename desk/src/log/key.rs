//! The key that signs checkpoints and exports (Ed25519, C2SP signed-note): from the environment, or made on
//! first use in a file beside the database that only its owner may read.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use rand_core::OsRng;
use signed_note::{Note, Signer, StandardSigner, StandardVerifier, Verifier, VerifierList};
use tlog_tiles::{Checkpoint, Hash};
use uuid::Uuid;

/// The environment variable that holds the private key, as `PRIVATE+KEY+name+id+base64`.
pub(super) const VARIABLE: &str = "GRAPHWARDEN_LOG_KEY";

/// The private key.
#[derive(Clone)]
pub struct LogKey {
    signer: StandardSigner,
    public: String,
}

impl LogKey {
    /// A new key with a name of its own.
    pub fn generate() -> anyhow::Result<Self> {
        let (private, _) = Self::pair();
        Self::parse(&private)
    }

    /// A new private key as text, for [`LogKey::parse`].
    pub fn new_private() -> String {
        Self::pair().0
    }

    fn pair() -> (String, String) {
        signed_note::generate_key(&mut OsRng, &format!("graphwarden/{}", Uuid::new_v4().simple()))
    }

    /// Reads `PRIVATE+KEY+name+id+base64`. The error holds nothing of it.
    pub fn parse(private: &str) -> anyhow::Result<Self> {
        use base64::Engine;
        use base64::engine::general_purpose::STANDARD;
        let private = private.trim();
        let signer = StandardSigner::new(private).ok().context("the log's private key is malformed")?;
        let secret = private.splitn(5, '+').nth(4).and_then(|key| STANDARD.decode(key).ok());
        let secret: [u8; 32] = secret
            .and_then(|bytes| bytes.get(1..).and_then(|seed| seed.try_into().ok()))
            .context("the log's private key is malformed")?;
        let verifying = ed25519_dalek::SigningKey::from_bytes(&secret).verifying_key();
        let public = signed_note::new_ed25519_verifier_key(signer.name(), &verifying);
        Ok(Self { signer, public })
    }

    /// The key of the log in `database`: the environment's, else the file's, else a new one in the file.
    /// `database` is the file, where it is one: replicas over one server need the same key, so none makes one.
    pub fn of(database: Option<&Path>, environment: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        if let Some(private) = environment(VARIABLE).filter(|key| !key.is_empty()) {
            return Self::parse(&private).with_context(|| format!("{VARIABLE} is wrong"));
        }
        let path = Self::path(database.with_context(|| {
            format!("{VARIABLE} is not set; with PostgreSQL every replica needs the same one, `graphwarden key` makes it")
        })?);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).with_context(|| format!("{} is wrong", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let (private, _) = Self::pair();
                write_private(&path, &private)?;
                Self::parse(&private)
            }
            Err(error) => bail!("cannot read the log's key {}: {error}", path.display()),
        }
    }

    /// The file of the key.
    pub fn path(database: &Path) -> PathBuf {
        let mut path = database.as_os_str().to_owned();
        path.push(".key");
        PathBuf::from(path)
    }

    /// The public key, as `name+id+base64`.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// Signs a text as a note. The text has to end in a line feed.
    pub fn sign(&self, text: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut note = Note::new(text, &[])?;
        note.add_sigs(&[&self.signer])?;
        Ok(note.to_bytes())
    }

    /// A signed checkpoint.
    pub fn checkpoint(&self, size: u64, root: Hash) -> anyhow::Result<Vec<u8>> {
        let checkpoint = Checkpoint::new(self.signer.name(), size, root, "")
            .map_err(|error| anyhow::anyhow!("cannot write a checkpoint: {error}"))?;
        self.sign(&checkpoint.to_bytes())
    }
}

/// Makes the file so that no one else can read it even for a moment, and only if it is not there.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let cannot = || format!("cannot write the log's key {}", path.display());
    let mut file = options.open(path).with_context(cannot)?;
    file.write_all(text.as_bytes()).with_context(cannot)?;
    file.write_all(b"\n").with_context(cannot)?;
    file.sync_all().with_context(cannot)
}

/// The public key, for whoever verifies.
#[derive(Debug, Clone)]
pub struct PublicKey {
    text: String,
    name: String,
}

impl PublicKey {
    /// Reads `name+id+base64`.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let text = text.trim();
        let verifier = StandardVerifier::new(text).ok().context(
            "the key is not a public key of a signed note, such as graphwarden/1f2e+0a1b2c3d+AbCd…",
        )?;
        Ok(Self { name: verifier.name().to_owned(), text: text.to_owned() })
    }

    /// The name of the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of a note that this key has signed.
    pub fn open(&self, note: &[u8]) -> anyhow::Result<Vec<u8>> {
        let note = Note::from_bytes(note).ok().context("it is not a signed note")?;
        let verifier = StandardVerifier::new(&self.text).ok().context("the key is malformed")?;
        note.verify(&VerifierList::new(vec![Box::new(verifier)]))
            .ok()
            .context("it is not signed by this key, or was changed afterwards")?;
        Ok(note.text().to_vec())
    }

    /// A checkpoint of this log.
    pub fn checkpoint(&self, note: &[u8]) -> anyhow::Result<Checkpoint> {
        let text = self.open(note)?;
        let checkpoint = Checkpoint::from_reader(&mut [text.as_slice(), b"\n"].concat().as_slice(), false)
            .ok()
            .context("it is not a checkpoint")?;
        ensure!(checkpoint.origin() == self.name, "it is the checkpoint of another log");
        ensure!(checkpoint.to_bytes() == text, "it has lines that no checkpoint of this log has");
        Ok(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_opens_with_its_key_and_with_no_other() {
        let (key, other) = (LogKey::generate().unwrap(), LogKey::generate().unwrap());
        let note = key.checkpoint(7, Hash([9; 32])).unwrap();
        let opened = PublicKey::parse(key.public()).unwrap().checkpoint(&note).unwrap();
        assert_eq!((opened.size(), opened.hash()), (7, &Hash([9; 32])));
        assert!(PublicKey::parse(other.public()).unwrap().checkpoint(&note).is_err());
    }

    #[test]
    fn every_changed_byte_of_a_checkpoint_is_noticed() {
        let key = LogKey::generate().unwrap();
        let public = PublicKey::parse(key.public()).unwrap();
        let note = key.checkpoint(7, Hash([9; 32])).unwrap();
        for index in 0..note.len() {
            let mut changed = note.clone();
            changed[index] ^= 1;
            assert!(public.checkpoint(&changed).is_err(), "byte {index}");
        }
    }

    #[test]
    fn the_key_is_made_once_and_only_its_owner_can_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("desk.db");
        let first = LogKey::of(Some(&database), &|_| None).unwrap();
        assert_eq!(LogKey::of(Some(&database), &|_| None).unwrap().public(), first.public());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(LogKey::path(&database)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let (private, public) = LogKey::pair();
        let named = LogKey::of(Some(&database), &|name| (name == VARIABLE).then(|| private.clone())).unwrap();
        assert_eq!(named.public(), public);
    }

    /// Base64 has plus signs of its own, in about half of all keys.
    #[test]
    fn every_generated_key_reads_back() {
        for _ in 0..64 {
            let (private, public) = LogKey::pair();
            assert_eq!(LogKey::parse(&private).unwrap().public(), public);
        }
    }

    #[test]
    fn a_malformed_key_is_refused_without_showing_it() {
        let error = LogKey::parse("PRIVATE+KEY+name+00000000+c2VjcmV0").err().unwrap();
        assert!(!format!("{error:#}").contains("c2VjcmV0"));
    }
}
