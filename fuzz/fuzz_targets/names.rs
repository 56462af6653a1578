#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starkeep::fuzzing::names(data));
