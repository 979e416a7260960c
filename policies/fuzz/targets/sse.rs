//! Any bytes as server-sent events: every split masks alike.
#![no_main]

use graphwarden_policies::masking::Media;
use graphwarden_policies_fuzz::splits_alike;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| splits_alike(Media::Sse, body));
