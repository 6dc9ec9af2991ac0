//! Bodies of `POST /classify` and `/detect`: the first byte says in which pieces it comes, a line names its content type, the rest is the body.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use cenet_serve::serve::fuzz_pictures;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));

fuzz_target!(|data: &[u8]| {
    let Some((&length, rest)) = data.split_first() else { return };
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return };
    let (content_type, body) = (&rest[..end], Bytes::copy_from_slice(&rest[end + 1..]));
    let pieces = body.chunks(usize::from(length) + 1).map(|piece| body.slice_ref(piece)).collect();
    let in_pieces = RUNTIME.block_on(fuzz_pictures(content_type, pieces));
    let at_once = RUNTIME.block_on(fuzz_pictures(content_type, vec![body.clone()]));
    match (at_once, in_pieces) {
        (Ok(at_once), Ok(in_pieces)) => {
            assert_eq!(at_once, in_pieces, "a body says the same in whatever pieces it comes");
            // an empty list is refused with the rest of the request's options
            assert!(at_once.iter().all(|file| !file.is_empty()), "pictures have bytes");
            assert!(at_once.iter().map(Bytes::len).sum::<usize>() <= body.len(), "pictures come out of the body");
        }
        (Err(at_once), Err(in_pieces)) => assert_eq!(at_once.kind, in_pieces.kind),
        (at_once, in_pieces) => panic!("{at_once:?}, but in pieces {in_pieces:?}"),
    }
});
