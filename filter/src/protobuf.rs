//! As much of the protobuf wire format as the host's two messages need: fields in, varints out.

/// One field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2.
    Bytes(&'a [u8]),
}

/// The fields of a message with their numbers, in order. `None` is the last one where the bytes are no message, or
/// hold a wire type that is not needed here.
pub(crate) fn fields(mut wire: &[u8]) -> impl Iterator<Item = Option<(u64, Field<'_>)>> {
    std::iter::from_fn(move || {
        if wire.is_empty() {
            return None;
        }
        let field = take_field(&mut wire);
        if field.is_none() {
            wire = &[];
        }
        Some(field)
    })
}

fn take_field<'a>(wire: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let tag = take_varint(wire)?;
    let field = match tag & 7 {
        0 => Field::Varint(take_varint(wire)?),
        1 => {
            let (bits, rest) = wire.split_first_chunk::<8>()?;
            *wire = rest;
            Field::Fixed64(u64::from_le_bytes(*bits))
        }
        2 => {
            let length = usize::try_from(take_varint(wire)?).ok()?;
            let (bytes, rest) = wire.split_at_checked(length)?;
            *wire = rest;
            Field::Bytes(bytes)
        }
        _ => return None,
    };
    Some((tag >> 3, field))
}

fn take_varint(wire: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = wire.split_first()?;
        *wire = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Appends a varint.
pub(crate) fn put_varint(wire: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        wire.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    wire.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut wire = Vec::new();
            put_varint(&mut wire, value);
            assert_eq!(take_varint(&mut wire.as_slice()), Some(value));
        }
    }

    #[test]
    fn a_message_that_breaks_off_ends_in_none() {
        let wire = [0x08, 0x05, 0x12, 0x03, b'a'];
        let read: Vec<_> = fields(&wire).collect();
        assert_eq!(read, [Some((1, Field::Varint(5))), None]);
        assert_eq!(fields(&[0xff; 12]).collect::<Vec<_>>(), [None]);
    }
}
