//! Tells a whole WebP file from one that is cut off, by its chunks alone: the decoder doesn't look at their lengths. And finds what a
//! file says beside its pixels.

use std::borrow::Cow;
use std::ops::Range;

/// `RIFF`, a length, `WEBP`.
const HEAD: usize = 12;
/// A chunk's name and length.
const CHUNK_HEAD: usize = 8;

/// Where the extended head has its flags, and what they announce.
const FLAGS: usize = HEAD + CHUNK_HEAD;
const HAS_PROFILE: u8 = 32;
const HAS_ALPHA: u8 = 16;
const HAS_EXIF: u8 = 8;
const HAS_XMP: u8 = 4;

/// Where a frame has its flags: behind place, size and duration.
const FRAME_FLAGS: usize = 15;
/// The frame takes the place of what was there.
const NOT_BLENDED: u8 = 2;

/// The chunk of EXIF, where the head announces one.
pub(super) fn exif(bytes: &[u8]) -> Option<&[u8]> {
    metadata(bytes, b"EXIF", HAS_EXIF)
}

/// The same of XMP.
pub(super) fn xmp(bytes: &[u8]) -> Option<&[u8]> {
    metadata(bytes, b"XMP ", HAS_XMP)
}

fn metadata<'a>(bytes: &'a [u8], wanted: &[u8; 4], flag: u8) -> Option<&'a [u8]> {
    let announced = bytes.get(HEAD..)?.starts_with(b"VP8X") && bytes.get(FLAGS)? & flag != 0;
    let range = chunks(bytes).find(|(name, _)| announced && name == wanted)?.1;
    bytes.get(range)
}

/// The file as the decoder takes it for what it is. It fails where the head announces what the file lacks, and rounds colours when it
/// lays the first frame of an animation over nothing.
pub(super) fn for_decoder(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.get(HEAD..).is_some_and(|rest| rest.starts_with(b"VP8X")) || bytes.len() <= FLAGS {
        return Cow::Borrowed(bytes);
    }
    let mut file = bytes.to_vec();
    // only pixels are asked for
    file[FLAGS] &= !(HAS_PROFILE | HAS_EXIF | HAS_XMP);
    let frame = chunks(bytes).find(|(name, _)| name == b"ANMF").map(|(_, range)| range.start);
    if let Some(flags) = frame.and_then(|start| file.get_mut(start + FRAME_FLAGS)) {
        *flags |= NOT_BLENDED;
    } else if !chunks(bytes).any(|(name, _)| matches!(&name, b"ALPH" | b"VP8L")) {
        file[FLAGS] &= !HAS_ALPHA;
    }
    Cow::Owned(file)
}

/// Name and place of the data of each chunk, as far as they are whole.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], Range<usize>)> {
    let mut place = HEAD;
    std::iter::from_fn(move || {
        let name = *bytes.get(place..)?.first_chunk()?;
        let start = place + CHUNK_HEAD;
        let end = start.checked_add(length(bytes, place + 4)?).filter(|end| *end <= bytes.len())?;
        // chunks begin at even places
        place = end + end % 2;
        Some((name, start..end))
    })
}

/// Whether the file is as long as it says, and its first picture lies within.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    let end = length(bytes, 4).and_then(|length| length.checked_add(CHUNK_HEAD));
    let Some(file) = end.filter(|end| *end >= HEAD).and_then(|end| bytes.get(..end)) else { return false };
    chunks(file).any(|(name, _)| matches!(&name, b"VP8 " | b"VP8L" | b"ANMF"))
}

fn length(bytes: &[u8], place: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(*bytes.get(place..)?.first_chunk()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn metadata_counts_where_it_is_announced() {
        let file = |flags: u8| {
            let head = [b"RIFF\x26\0\0\0WEBPVP8X\x02\0\0\0", &[flags, 0][..]].concat();
            [&head[..], b"odd.\x01\0\0\0.\0", b"EXIF\x02\0\0\0MM", b"XMP \x09\0\0\0cut"].concat()
        };
        assert_eq!(exif(&file(HAS_EXIF)), Some(&b"MM"[..]));
        assert_eq!(exif(&file(HAS_XMP)), None);
        assert_eq!(xmp(&file(HAS_XMP)), None, "it is cut off");
    }
}
