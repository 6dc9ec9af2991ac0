//! Requests that run as they stand in the document.

/// A yellow disc on green, 16x16 pixels, as a PNG file in base64.
pub(in crate::serve) const TINY_PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAANklEQVR42mPQiNIgCTFQQcOHEwhEQAOyUlzaGAiqRtNDrgb8qpH1DF4NtA8lciKOnKRBk9QKAHL8MbCygEPNAAAAAElFTkSuQmCC";

/// Green, 2x2 pixels, as a BMP file whose bytes are all ASCII: the one kind of picture that a JSON text can hold as it is.
pub(in crate::serve) const ASCII_PICTURE: &str = "BMF\0\0\0\0\0\0\x006\0\0\0(\0\0\0\x02\0\0\0\x02\0\0\0\x01\0\x18\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10p \x10p \0\0\x10p \x10p \0\0";
