//! Tells a whole JPEG file from one that is cut off, by its markers alone (ITU-T T.81, annex B).

/// End of image.
const EOI: u8 = 0xD9;
/// Start of scan: its header is followed by entropy-coded data.
const SOS: u8 = 0xDA;

/// How many scans a file has that reaches its end-of-image marker behind at least one; none where it doesn't. What follows that marker
/// doesn't matter; a preview inside a metadata segment doesn't count.
pub(super) fn scans(bytes: &[u8]) -> Option<usize> {
    let mut position = 2;
    let mut scans = 0;
    loop {
        let (marker, after) = next_marker(bytes, position)?;
        position = match marker {
            EOI => return (scans > 0).then_some(scans),
            0x01 | 0xD0..=0xD8 => after,
            _ => {
                scans += usize::from(marker == SOS);
                segment_end(bytes, after)?
            }
        };
    }
}

/// The next marker at or after `from` and the position behind it. Stuffed zeros and fill bytes are passed over, and so is
/// entropy-coded data.
fn next_marker(bytes: &[u8], from: usize) -> Option<(u8, usize)> {
    let mut position = from;
    loop {
        position += bytes.get(position..)?.iter().position(|&byte| byte == 0xFF)? + 1;
        match *bytes.get(position)? {
            0x00 => position += 1,
            0xFF => {}
            marker => return Some((marker, position + 1)),
        }
    }
}

/// Where the segment ends whose two bytes of length are at `position`.
fn segment_end(bytes: &[u8], position: usize) -> Option<usize> {
    let length = bytes.get(position..position + 2)?;
    Some(position + usize::from(u16::from_be_bytes([length[0], length[1]])).max(2))
}

#[cfg(test)]
mod tests {
    use super::scans;

    const SCAN: [u8; 4] = [0xFF, 0xDA, 0, 2];

    fn file(parts: &[&[u8]]) -> Vec<u8> {
        [&[0xFF, 0xD8][..], &parts.concat()].concat()
    }

    #[test]
    fn a_scan_and_the_end_marker_make_a_whole_file() {
        assert_eq!(scans(&file(&[&SCAN, &[1, 2, 0xFF, 0, 3, 0xFF, 0xD0, 4], &[0xFF, 0xFF, 0xD9]])), Some(1));
        assert_eq!(scans(&file(&[&SCAN, &[0xFF, 0xD9], b"junk behind it"])), Some(1));
        assert_eq!(scans(&file(&[&SCAN, &[1, 2], &SCAN, &[3, 0xFF, 0xD9]])), Some(2));
    }

    #[test]
    fn without_the_end_marker_or_a_scan_the_file_is_cut_off() {
        assert_eq!(scans(&file(&[&SCAN, &[1, 2, 0xFF]])), None);
        assert_eq!(scans(&file(&[&SCAN, &[1, 2, 0xFF, 0, 0xD9]])), None);
        assert_eq!(scans(&file(&[&[0xFF, 0xD9]])), None);
        assert_eq!(scans(&[]), None);
    }

    #[test]
    fn the_end_marker_of_a_preview_does_not_count() {
        let preview = [0xFF, 0xE1, 0, 8, 0xFF, 0xDA, 0, 2, 0xFF, 0xD9];
        assert_eq!(scans(&file(&[&preview, &SCAN, &[7]])), None);
        assert_eq!(scans(&file(&[&preview, &SCAN, &[7, 0xFF, 0xD9]])), Some(1));
    }
}
