//! Protobuf's wire format, field by field: of a large file only what is asked for is read.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek};
use std::path::Path;

/// A message, read from its start.
#[derive(Debug)]
pub(super) struct Wire<R> {
    source: R,
    place: u64,
    end: u64,
}

/// A field that holds text, bytes or a message; what it holds comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) number: u64,
    pub(super) length: u64,
}

impl Wire<BufReader<File>> {
    /// The message that the file at `path` is.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let end = file.metadata()?.len();
        Ok(Self { source: BufReader::new(file), place: 0, end })
    }
}

impl<R: Read + Seek> Wire<R> {
    /// The next field before `end` that holds more than a number; numbers are passed over.
    ///
    /// # Errors
    /// `UnexpectedEof` where the message ends within a field, `InvalidData` where it is none.
    pub(super) fn next(&mut self, end: u64) -> io::Result<Option<Field>> {
        while self.place < end {
            let key = self.varint()?;
            match key & 7 {
                0 => drop(self.varint()?),
                1 => self.skip(8)?,
                5 => self.skip(4)?,
                2 => {
                    let length = self.varint()?;
                    if length > end.saturating_sub(self.place) {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                    return Ok(Some(Field { number: key >> 3, length }));
                }
                _ => return Err(ErrorKind::InvalidData.into()),
            }
        }
        if self.place == end { Ok(None) } else { Err(ErrorKind::InvalidData.into()) }
    }

    /// Where the whole message ends.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Where a field ends that has just been begun.
    pub(super) fn end_of(&self, field: Field) -> u64 {
        self.place + field.length
    }

    /// Passes over `length` bytes.
    pub(super) fn skip(&mut self, length: u64) -> io::Result<()> {
        self.place =
            self.place.checked_add(length).filter(|place| *place <= self.end).ok_or(ErrorKind::UnexpectedEof)?;
        self.source.seek_relative(i64::try_from(length).map_err(|_| ErrorKind::InvalidData)?)
    }

    /// Reads `length` bytes, of which there are no more than are left.
    pub(super) fn bytes(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.source.by_ref().take(length).read_to_end(&mut bytes)?;
        self.place += bytes.len() as u64;
        if bytes.len() as u64 == length { Ok(bytes) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let mut byte = [0];
            self.source.read_exact(&mut byte)?;
            self.place += 1;
            value |= u64::from(byte[0] & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte[0] & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ErrorKind::InvalidData.into())
    }
}

#[cfg(any(test, fuzzing))]
impl<'a> Wire<io::Cursor<&'a [u8]>> {
    /// The message that `bytes` are.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { source: io::Cursor::new(bytes), place: 0, end: bytes.len() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::model::onnx::{ModelProto, OperatorSetIdProto};

    #[test]
    fn fields_follow_each_other() {
        let import = OperatorSetIdProto { domain: Some("d".into()), version: Some(300) };
        let model = ModelProto { ir_version: Some(10), opset_import: vec![import.clone()], ..ModelProto::default() };
        let bytes = model.encode_to_vec();
        let mut wire = Wire::of(&bytes);
        let field = wire.next(wire.end()).expect("readable").expect("a field");
        assert_eq!((field.number, wire.end_of(field)), (8, bytes.len() as u64));
        assert_eq!(wire.bytes(field.length).expect("readable"), import.encode_to_vec());
        assert_eq!(wire.next(wire.end()).expect("readable"), None);
    }

    #[test]
    fn what_is_no_message_is_told() {
        for (bytes, expected) in [
            (&[0x42, 5, 1][..], ErrorKind::UnexpectedEof),
            (&[0x42], ErrorKind::UnexpectedEof),
            (&[0x09, 1, 2], ErrorKind::UnexpectedEof),
            (&[0x43], ErrorKind::InvalidData),
            (&[0xff; 20], ErrorKind::InvalidData),
        ] {
            let mut wire = Wire::of(bytes);
            assert_eq!(wire.next(wire.end()).expect_err("no message").kind(), expected, "{bytes:?}");
        }
    }
}
