//! The pictures that a server is asked about.

use std::ffi::OsStr;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use image::{ImageFormat, Rgb, RgbImage};

/// Pictures that are kept in memory at most; of a folder with more, evenly chosen ones.
const MOST_PICTURES: usize = 256;
const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];

/// The picture at `path`, or those below it.
///
/// # Errors
/// When something can't be read, or there is none.
pub fn read_pictures(path: &Path) -> io::Result<Vec<Bytes>> {
    let mut files = Vec::new();
    if path.is_dir() {
        collect(path, &mut files)?;
        files.sort();
    } else {
        files.push(path.to_path_buf());
    }
    let step = files.len().div_ceil(MOST_PICTURES).max(1);
    let pictures: Vec<_> =
        files.iter().step_by(step).map(|file| std::fs::read(file).map(Bytes::from)).collect::<io::Result<_>>()?;
    if pictures.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no picture is there"));
    }
    Ok(pictures)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().and_then(OsStr::to_str).is_some_and(is_picture) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_picture(extension: &str) -> bool {
    EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// A JPEG of 500x375 pixels, for who has none at hand: some colours and some texture.
pub fn drawn_picture() -> Bytes {
    let drawn =
        RgbImage::from_fn(500, 375, |x, y| Rgb([(x / 2) as u8, (y / 2) as u8, ((x * 31 + y * 17) % 64) as u8 + 90]));
    let mut file = Cursor::new(Vec::new());
    drawn.write_to(&mut file, ImageFormat::Jpeg).expect("memory takes all of it");
    file.into_inner().into()
}
