#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| paymux_fuzz::sandbox_answers(data));
