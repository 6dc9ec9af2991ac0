//! Bodies of `POST /v2/models/{model}/infer`: the first two bytes say how long the JSON is said to be, the rest is the body.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((length, body)) = data.split_first_chunk::<2>() else { return };
    let length = usize::from(u16::from_le_bytes(*length));
    cenet_serve::serve::fuzz_v2_body(body, (length < usize::from(u16::MAX)).then_some(length));
});
