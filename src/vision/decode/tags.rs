//! The tags of a TIFF's first directory, which is what EXIF is written as, too.

const SHORT: u16 = 3;
const LONG: u16 = 4;
const SIGNED_SHORT: u16 = 8;
const SIGNED_LONG: u16 = 9;
/// Bytes of a directory's entry: tag, type, count, value or its place.
const ENTRY: usize = 12;
const VALUE: usize = 8;

/// A file of directories in either order of bytes.
pub(super) struct Tags<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl<'a> Tags<'a> {
    /// None where it is no such file.
    pub(super) fn open(bytes: &'a [u8]) -> Option<Self> {
        let little = bytes.starts_with(b"II*\0");
        (little || bytes.starts_with(b"MM\0*")).then_some(Self { bytes, little })
    }

    /// The first number of a tag. Where it stands twice, the first that can be read counts.
    pub(super) fn number(&self, tag: u16) -> Option<u32> {
        let directory = self.long(4)? as usize;
        let entries = usize::from(self.short(directory)?);
        let places = (0..entries).map(|index| directory + 2 + index * ENTRY);
        places
            .map_while(|place| Some((self.short(place)?, place)))
            .find_map(|(found, place)| if found == tag { self.value(place) } else { None })
    }

    /// The value of the entry at `place`, if it is whole numbers that lie within the file.
    fn value(&self, place: usize) -> Option<u32> {
        let (kind, count) = (self.short(place + 2)?, self.long(place + 4)?);
        let size = match kind {
            SHORT | SIGNED_SHORT => 2,
            LONG | SIGNED_LONG => 4,
            _ => return None,
        };
        let bytes = (count as usize).checked_mul(size).filter(|bytes| *bytes > 0)?;
        let field = self.long(place + VALUE)?;
        let value = if bytes > 4 { field as usize } else { place + VALUE };
        self.bytes.get(value..)?.get(..bytes)?;
        if size == 2 { self.short(value).map(u32::from) } else { self.long(value) }
    }

    fn short(&self, place: usize) -> Option<u16> {
        let bytes = *self.bytes.get(place..)?.first_chunk()?;
        Some(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn long(&self, place: usize) -> Option<u32> {
        let bytes = *self.bytes.get(place..)?.first_chunk()?;
        Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: u16 = 0x0112;

    /// A directory of these entries: type, count and value of the tag.
    fn file(entries: &[(u16, u32, u32)]) -> Vec<u8> {
        let mut file = b"MM\0*\0\0\0\x08".to_vec();
        file.extend((entries.len() as u16).to_be_bytes());
        for (kind, count, value) in entries {
            file.extend(TAG.to_be_bytes());
            file.extend(kind.to_be_bytes());
            file.extend(count.to_be_bytes());
            file.extend(value.to_be_bytes());
        }
        file
    }

    fn number(bytes: &[u8]) -> Option<u32> {
        Tags::open(bytes)?.number(TAG)
    }

    #[test]
    fn shorts_and_longs_are_read_and_the_first_that_can_be_counts() {
        let short = |value: u32| (SHORT, 1, value << 16);
        for (entries, expected) in [
            (&[short(6)][..], Some(6)),
            (&[(LONG, 1, 6)], Some(6)),
            (&[(SHORT, 2, 6 << 16)], Some(6)),
            (&[(99, 1, 6), short(3)], Some(3)),
            (&[short(6), short(3)], Some(6)),
            (&[(SHORT, 0, 6 << 16)], None),
            (&[(SHORT, u32::MAX, 8)], None),
            (&[(LONG, 2, 4000)], None),
            (&[], None),
        ] {
            assert_eq!(number(&file(entries)), expected, "{entries:?}");
        }
    }

    #[test]
    fn what_is_cut_off_has_none() {
        let whole = file(&[(SHORT, 1, 6 << 16)]);
        assert_eq!(number(&whole[..whole.len() - 2]), None, "the field isn't whole");
        for length in 0..whole.len() - 2 {
            assert_eq!(number(&whole[..length]), None, "cut at {length}");
        }
        assert!(Tags::open(b"II+\0").is_none());
    }
}
