//! Random ids for exchanges: asked of the host for many at a time, since asking costs as much as it does for one.

use std::cell::RefCell;

use uuid::{Builder, Uuid};

/// The bytes of one id.
const ID: usize = 16;
/// How many bytes are asked for at once.
const POOL: usize = 64 * ID;

/// Random bytes that were not used yet.
#[derive(Debug, Default)]
pub(super) struct Ids(RefCell<Vec<u8>>);

impl Ids {
    /// An id that nobody can guess (RFC 9562 section 5.4), as text.
    pub(super) fn next(&self) -> String {
        let drawn = self.0.try_borrow_mut().ok().and_then(|mut pool| draw(&mut pool));
        drawn.map_or_else(Uuid::new_v4, |bytes| Builder::from_random_bytes(bytes).into_uuid()).to_string()
    }
}

/// Takes bytes out of the pool, which is filled where it is empty. `None` where the host gave none.
fn draw(pool: &mut Vec<u8>) -> Option<[u8; ID]> {
    if pool.is_empty() {
        let mut fresh = vec![0; POOL];
        getrandom::fill(&mut fresh).ok()?;
        *pool = fresh;
    }
    let bytes = pool.last_chunk::<ID>().copied();
    pool.truncate(pool.len().saturating_sub(ID));
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_of_version_4_and_none_comes_twice() {
        let ids = Ids::default();
        let mut seen = BTreeSet::new();
        for _ in 0..1_000 {
            let id = ids.next();
            let parsed = Uuid::parse_str(&id).unwrap();
            assert_eq!(parsed.get_version_num(), 4);
            assert!(seen.insert(id), "{parsed} came twice");
        }
    }
}
