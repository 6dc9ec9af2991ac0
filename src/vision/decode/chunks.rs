//! What a PNG says beside its pixels, wherever in the file it does: the decoder reads on no further than the pixels.

const SIGNATURE: usize = 8;
/// Length, name; checksum.
const HEAD: usize = 8;
const TAIL: usize = 4;
/// What an uncompressed text of XMP begins with: its name, no compression, no language, no translation.
const XMP: &[u8] = b"XML:com.adobe.xmp\0\0\0\0\0";

/// The chunk of EXIF.
pub(super) fn exif(bytes: &[u8]) -> Option<&[u8]> {
    chunks(bytes).find(|(name, _)| name == b"eXIf").map(|(_, data)| data)
}

/// The text of XMP, where it isn't compressed.
pub(super) fn xmp(bytes: &[u8]) -> Option<&[u8]> {
    chunks(bytes).filter(|(name, _)| name == b"iTXt").find_map(|(_, data)| data.strip_prefix(XMP))
}

/// Whether the palette's last colour is whole, where there is a palette.
pub(super) fn palette_is_whole(bytes: &[u8]) -> bool {
    chunks(bytes).find(|(name, _)| name == b"PLTE").is_none_or(|(_, data)| data.len().is_multiple_of(3))
}

/// Name and data of each chunk, as far as they are whole.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = bytes.get(SIGNATURE..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = u32::from_be_bytes(*rest.first_chunk()?) as usize;
        let name = *rest.get(4..)?.first_chunk()?;
        let data = rest.get(HEAD..)?.get(..length)?;
        rest = rest.get(HEAD + length + TAIL..)?;
        Some((name, data))
    })
}
