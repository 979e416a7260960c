//! The wire form of Envoy's foreign function `verify_signature`: a protobuf message each way, written by hand because
//! it has four fields.
//!
//! ```text
//! question: 1 hash name, 2 public key (SPKI, DER), 3 signature (ECDSA as DER), 4 signed text
//! answer:   1 verified (bool)
//! ```

use crate::protobuf::{Field, fields, put_varint};

/// The question, ready to send.
pub(crate) fn question(hash: &str, spki_der: &[u8], signature: &[u8], message: &[u8]) -> Vec<u8> {
    let fields = [hash.as_bytes(), spki_der, signature, message];
    let size = fields.iter().map(|field| field.len().saturating_add(6)).sum();
    let mut wire = Vec::with_capacity(size);
    // Tags: field number times 8, plus 2 for a length-delimited value.
    for (tag, field) in [0x0a_u8, 0x12, 0x1a, 0x22].into_iter().zip(fields) {
        wire.push(tag);
        put_varint(&mut wire, field.len() as u64);
        wire.extend_from_slice(field);
    }
    wire
}

/// Whether the answer says yes. A field that is absent is false; what cannot be read is no yes.
pub(crate) fn says_verified(wire: &[u8]) -> bool {
    let mut verified = false;
    for field in fields(wire) {
        match field {
            Some((1, Field::Varint(value))) => verified = value == 1,
            Some(_) => {}
            None => return false,
        }
    }
    verified
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_four_length_delimited_fields() {
        let long = vec![7; 300];
        let wire = question("sha256", b"key", b"sig", &long);
        let mut expected = vec![0x0a, 6];
        expected.extend_from_slice(b"sha256\x12\x03key\x1a\x03sig\x22\xac\x02");
        expected.extend_from_slice(&long);
        assert_eq!(wire, expected);
    }

    #[test]
    fn only_a_readable_yes_is_a_yes() {
        assert!(says_verified(&[0x08, 0x01]));
        assert!(says_verified(&[0x12, 0x01, b'x', 0x08, 0x01]));
        for no in [
            &[][..],
            &[0x08, 0x00],
            &[0x08],
            &[0x08, 0x02],
            &[0x08, 0x01, 0x08, 0x00],
            &[0x12, 0x01, b'x'],
            &[0x12, 0x05, b'x', 0x08, 0x01],
            &[0x08, 0x01, 0xff],
            &[0x0d, 0, 0, 0, 0],
        ] {
            assert!(!says_verified(no), "{no:?}");
        }
    }
}
