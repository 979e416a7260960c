//! Cosignatures of witnesses (C2SP tlog-cosignature, `cosignature/v1`): Ed25519 over the time and the checkpoint.
//!
//! ```text
//! — witness.example.com base64(key id (4 bytes), time (8 bytes), signature (64 bytes))
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use signed_note::{Note, Verifier, VerifierList, key_id};

/// The signature type of cosignatures.
const TYPE: u8 = 0x04;

/// A witness's public key.
#[derive(Debug, Clone)]
pub struct WitnessKey {
    name: String,
    id: u32,
    key: VerifyingKey,
}

impl WitnessKey {
    /// Reads `name+id+base64`, where the base64 is of a byte 4 and the Ed25519 key.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().splitn(3, '+');
        let (name, id, encoded) = (parts.next()?, parts.next()?, parts.next()?);
        let bytes = STANDARD.decode(encoded).ok()?;
        let (TYPE, key) = (*bytes.first()?, bytes.get(1..)?) else { return None };
        let key = VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
        let is_name = signed_note::is_key_name_valid(name);
        let id = u32::from_str_radix(id, 16).ok()?;
        (is_name && id == key_id(name, &bytes)).then(|| Self { name: name.to_owned(), id, key })
    }

    /// The witness's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When this witness signed the checkpoint, in seconds since the Unix epoch; `None` where it did not.
    pub fn cosigned(&self, note: &[u8]) -> Option<u64> {
        let note = Note::from_bytes(note).ok()?;
        let known = VerifierList::new(vec![Box::new(self.clone())]);
        let (verified, _) = note.verify(&known).ok()?;
        let time = verified.first()?.signature().get(..8)?;
        Some(u64::from_be_bytes(time.try_into().ok()?))
    }
}

impl Verifier for WitnessKey {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Some((time, signature)) = signature.split_at_checked(8) else { return false };
        let (Ok(time), Ok(signature)) = (<[u8; 8]>::try_from(time), Signature::from_slice(signature)) else {
            return false;
        };
        self.key.verify_strict(&signed(u64::from_be_bytes(time), message), &signature).is_ok()
    }
}

/// What a witness signs.
fn signed(time: u64, checkpoint: &[u8]) -> Vec<u8> {
    [format!("cosignature/v1\ntime {time}\n").as_bytes(), checkpoint].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};

    fn witness() -> (SigningKey, String) {
        let key = SigningKey::from_bytes(&[7; 32]);
        let bytes = [&[TYPE], key.verifying_key().as_bytes().as_slice()].concat();
        let name = "witness.example.com";
        (key, format!("{name}+{:08x}+{}", key_id(name, &bytes), STANDARD.encode(&bytes)))
    }

    #[test]
    fn a_cosignature_is_over_its_time_and_the_checkpoint() {
        let (key, text) = witness();
        let public = WitnessKey::parse(&text).unwrap();
        let checkpoint = "log\n7\nAAAA\n";
        let line = |time: u64, over: u64| {
            let signature = key.sign(&signed(over, checkpoint.as_bytes()));
            let bytes = [&public.id.to_be_bytes()[..], &time.to_be_bytes(), &signature.to_bytes()].concat();
            format!("{checkpoint}\n— witness.example.com {}\n", STANDARD.encode(bytes))
        };
        assert_eq!(public.cosigned(line(9, 9).as_bytes()), Some(9));
        assert_eq!(public.cosigned(line(9, 8).as_bytes()), None, "another time");
        assert_eq!(public.cosigned(line(9, 9).replace('7', "8").as_bytes()), None, "another checkpoint");
    }

    #[test]
    fn keys_of_another_kind_are_refused() {
        let (_, text) = witness();
        assert!(WitnessKey::parse(&text.replace("witness", "other")).is_none(), "the id is of the name too");
        assert!(WitnessKey::parse("name+00000000+AAAA").is_none());
        let log = crate::log::LogKey::generate().unwrap();
        assert!(WitnessKey::parse(log.public()).is_none(), "a log's key is no witness's");
    }
}
