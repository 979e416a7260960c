//! Mending any faults together: what can be mended is, once and for all.

use graphwarden::lint::{Source, fix, lint};
use proptest::prelude::*;

use crate::cases::mended_faults;
use crate::shipped::envoy;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever faults come together: nothing is left that could be mended, and mending again changes nothing.
    #[test]
    fn any_faults_are_mended_once_and_for_all(chosen in proptest::collection::vec(any::<prop::sample::Index>(), 1..8)) {
        let faults = mended_faults();
        let mut source = envoy();
        for fault in chosen {
            let wrong = fault.get(&faults);
            let text = wrong.iter().fold(source.text.clone(), |text, (from, to)| text.replacen(from, to, 1));
            // Some faults exclude each other.
            let next = Source { name: source.name.clone(), text };
            if lint(std::slice::from_ref(&next)).is_ok() {
                source = next;
            }
        }
        let fixed = fix(std::slice::from_ref(&source)).unwrap();
        prop_assert!(fixed.left.iter().all(|finding| finding.edits.is_empty()), "{:?}", fixed.left);
        prop_assert_eq!(lint(&fixed.sources).unwrap().len(), fixed.left.len());
        let again = fix(&fixed.sources).unwrap();
        prop_assert_eq!(&again.sources[0].text, &fixed.sources[0].text);
        // Every comment is still there.
        for comment in source.text.lines().filter(|line| line.trim_start().starts_with('#')) {
            prop_assert!(fixed.sources[0].text.contains(comment), "{}", comment);
        }
    }
}
