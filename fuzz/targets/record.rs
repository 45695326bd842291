#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cairnlog_fuzz_bodies::record::run(input));
