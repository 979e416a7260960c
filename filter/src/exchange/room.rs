//! What requests that wait may take of a worker: bytes of bodies in all, and, for each person, requests that people are
//! asked about. What is taken is a value that gives back when it is dropped, so that no way out of a state forgets to.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

/// People who hold nothing any more are forgotten once so many are known.
const REMEMBERED: usize = 1_000;
/// What one person may take of the bytes: a quarter.
const PART: usize = 4;

/// What all exchanges of one configuration share.
#[derive(Debug, Default)]
pub struct Room {
    bytes: Rc<Cell<usize>>,
    /// By issuer and subject.
    people: HashMap<(String, String), Rc<Taken>>,
}

/// What one person has taken.
#[derive(Debug, Default)]
struct Taken {
    seats: Cell<usize>,
    bytes: Cell<usize>,
}

/// A part of the bytes that bodies may take.
#[derive(Debug, Default)]
pub(super) struct Share {
    taken: usize,
    all: Rc<Cell<usize>>,
    /// Whose it is, once that is known.
    person: Option<Rc<Taken>>,
}

/// A request that is held for people.
#[derive(Debug)]
pub(super) struct Seat {
    person: Rc<Taken>,
}

impl Room {
    /// A share that has nothing yet.
    pub(super) fn share(&self) -> Share {
        Share { taken: 0, all: Rc::clone(&self.bytes), person: None }
    }

    /// One of the `limit` seats of this person, who is an issuer and a subject; `None` where all are taken.
    pub(super) fn seat(&mut self, person: (&str, &str), limit: usize) -> Option<Seat> {
        let person = self.taken(person);
        let seats = person.seats.get().saturating_add(1);
        (seats <= limit).then(|| {
            person.seats.set(seats);
            Seat { person }
        })
    }

    /// Counts a share as this person's from now on.
    pub(super) fn assign(&mut self, share: &mut Share, person: (&str, &str)) {
        if share.person.is_none() {
            let person = self.taken(person);
            person.bytes.set(person.bytes.get().saturating_add(share.taken));
            share.person = Some(person);
        }
    }

    fn taken(&mut self, person: (&str, &str)) -> Rc<Taken> {
        if self.people.len() >= REMEMBERED {
            self.people.retain(|_, taken| Rc::strong_count(taken) > 1);
        }
        Rc::clone(self.people.entry((person.0.to_owned(), person.1.to_owned())).or_default())
    }
}

impl Share {
    /// Takes so many bytes more. False where all would take more than `limit`, or this person more than their part of it;
    /// who alone takes any gets them.
    pub(super) fn take(&mut self, bytes: usize, limit: usize) -> bool {
        let all = self.all.get().saturating_add(bytes);
        let own = self.person.as_ref().map_or(self.taken, |person| person.bytes.get());
        let too_many = all > limit && self.all.get() > self.taken;
        let too_many_of_one = own.saturating_add(bytes) > limit / PART && own > self.taken;
        if too_many || too_many_of_one {
            return false;
        }
        self.all.set(all);
        if let Some(person) = &self.person {
            person.bytes.set(own.saturating_add(bytes));
        }
        self.taken = self.taken.saturating_add(bytes);
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.set(self.all.get().saturating_sub(self.taken));
        if let Some(person) = &self.person {
            person.bytes.set(person.bytes.get().saturating_sub(self.taken));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.person.seats.set(self.person.seats.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_bounded_over_all_and_given_back() {
        let room = Room::default();
        let (mut one, mut two) = (room.share(), room.share());
        assert!(one.take(60, 100) && two.take(40, 100));
        assert!(!two.take(1, 100), "all is taken");
        drop(one);
        assert!(two.take(60, 100));
        drop(two);
        assert_eq!(room.bytes.get(), 0);
    }

    #[test]
    fn one_person_takes_a_part_and_leaves_the_rest_to_others() {
        let mut room = Room::default();
        let mut of = |subject: &str| {
            let mut share = room.share();
            room.assign(&mut share, ("https://idp.example", subject));
            share
        };
        let (mut one, mut two, mut other) = (of("ana"), of("ana"), of("bob"));
        assert!(one.take(90, 400) && two.take(10, 400));
        assert!(!two.take(1, 400), "a quarter is taken");
        assert!(other.take(90, 400));
        drop(one);
        assert!(two.take(90, 400));
    }

    #[test]
    fn who_alone_takes_any_is_not_refused_for_want_of_room() {
        let room = Room::default();
        let mut one = room.share();
        assert!(one.take(90, 100) && one.take(90, 100));
        assert!(!room.share().take(1, 100));
    }
}
