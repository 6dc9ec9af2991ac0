//! Tells a whole WebP file from one that is cut off, by its chunks alone: the decoder doesn't look at their lengths.

/// `RIFF`, a length, `WEBP`.
const HEAD: usize = 12;
/// A chunk's name and length.
const CHUNK_HEAD: usize = 8;

/// Whether the file is as long as it says, and its first picture lies within.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    let end = length(bytes, 4).and_then(|length| length.checked_add(CHUNK_HEAD));
    let Some(mut rest) = end.and_then(|end| bytes.get(HEAD..end)) else { return false };
    loop {
        let (Some(name), Some(length)) = (rest.first_chunk::<4>(), length(rest, 4)) else { return false };
        let Some(after) = rest.get(CHUNK_HEAD..).and_then(|rest| rest.get(length..)) else { return false };
        if matches!(name, b"VP8 " | b"VP8L" | b"ANMF") {
            return true;
        }
        // chunks begin at even places
        rest = after.get(length % 2..).unwrap_or_default();
    }
}

fn length(bytes: &[u8], place: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(*bytes.get(place..)?.first_chunk()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::is_complete;

    #[test]
    fn lengths_are_held_against_the_file() {
        let file = |length: u8, chunk: u8| {
            [b"RIFF", &[length, 0, 0, 0][..], b"WEBPVP8L", &[chunk, 0, 0, 0, 1, 2, 3, 4]].concat()
        };
        assert!(is_complete(&file(16, 4)));
        assert!(is_complete(&[file(16, 4), vec![9; 5]].concat()), "what follows doesn't matter");
        for (length, chunk) in [(17, 4), (16, 5), (15, 4), (0, 4), (3, 0), (16, 255)] {
            assert!(!is_complete(&file(length, chunk)), "{length}, {chunk}");
        }
        assert!(!is_complete(b"RIFF"));
        assert!(!is_complete(b"RIFF\x04\0\0\0WEBP"), "no picture");
    }
}
