#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| paymux_fuzz::routing_program(data));
