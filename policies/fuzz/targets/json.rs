//! Any bytes as JSON: every split masks alike, and without rules nothing changes.
#![no_main]

use graphwarden_policies::masking::Media;
use graphwarden_policies_fuzz::{splits_alike, stays};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    splits_alike(Media::Json, body);
    stays(Media::Json, body);
});
