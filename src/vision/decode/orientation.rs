//! Which way up a picture is, read from EXIF and XMP as Pillow reads them. A tag that can't be read counts as none.

use image::metadata::Orientation;

use super::tags::Tags;

const PREFIX: &[u8] = b"Exif\0\0";
const TAG: u16 = 0x0112;
const XMP_NAME: &[u8] = b"tiff:Orientation";

/// The orientation that EXIF tells, or that XMP tells where EXIF has none.
pub(super) fn orientation(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    let value = exif.and_then(of_exif).or_else(|| xmp.and_then(of_xmp));
    value
        .and_then(|value| u8::try_from(value).ok())
        .and_then(Orientation::from_exif)
        .unwrap_or(Orientation::NoTransforms)
}

fn of_exif(chunk: &[u8]) -> Option<u32> {
    let mut file = chunk;
    while let Some(rest) = file.strip_prefix(PREFIX) {
        file = rest;
    }
    Tags::open(file)?.number(TAG)
}

/// The digit behind the first `tiff:Orientation` that has one, as an attribute or an element.
fn of_xmp(text: &[u8]) -> Option<u32> {
    let places = (0..text.len()).filter(|place| text[*place..].starts_with(XMP_NAME));
    places.map(|place| &text[place + XMP_NAME.len()..]).find_map(|rest| {
        let digit = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?.first()?;
        char::from(*digit).to_digit(10)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EXIF that tells an orientation.
    fn exif(value: u8) -> Vec<u8> {
        [b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", &[value][..], b"\0\0"].concat()
    }

    #[test]
    fn xmp_counts_where_exif_has_none() {
        let xmp = br#"<rdf:Description tiff:Orientation="x" tiff:Orientation="8"/>"#;
        assert_eq!(orientation(None, Some(xmp)), Orientation::Rotate270);
        assert_eq!(
            orientation(Some(b"nonsense"), Some(b"<tiff:Orientation>3</tiff:Orientation>")),
            Orientation::Rotate180
        );
        assert_eq!(orientation(Some(&exif(6)), Some(xmp)), Orientation::Rotate90);
        assert_eq!(orientation(Some(&exif(77)), Some(xmp)), Orientation::NoTransforms);
        assert_eq!(orientation(None, Some(b"tiff:Orientation")), Orientation::NoTransforms);
    }
}
