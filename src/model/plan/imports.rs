//! Which operator domains an ONNX file imports, read without its weights: of a large file only a few bytes are looked at.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek};
use std::path::Path;

use prost::Message;

use crate::model::onnx::OperatorSetIdProto;

/// `ModelProto.opset_import`.
const OPSET_IMPORT: u64 = 8;

/// Whether the ONNX file at `path` imports `domain`. What is no ONNX file imports nothing.
///
/// # Errors
/// When the file can't be read.
pub(super) fn imports(path: &Path, domain: &str) -> io::Result<bool> {
    match find(BufReader::new(File::open(path)?), domain) {
        Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) => Ok(false),
        outcome => outcome,
    }
}

/// Goes from field to field of the file's message.
pub(super) fn find(mut file: impl Read + Seek, domain: &str) -> io::Result<bool> {
    while let Some(key) = varint(&mut file)? {
        let skipped = match key & 7 {
            0 => varint(&mut file)?.map_or(0, |_| 0),
            1 => 8,
            5 => 4,
            2 => {
                let length = varint(&mut file)?.ok_or(ErrorKind::UnexpectedEof)?;
                if key >> 3 == OPSET_IMPORT {
                    let mut message = Vec::new();
                    file.by_ref().take(length).read_to_end(&mut message)?;
                    let import = OperatorSetIdProto::decode(message.as_slice()).map_err(|_| ErrorKind::InvalidData)?;
                    if import.domain() == domain {
                        return Ok(true);
                    }
                    0
                } else {
                    i64::try_from(length).map_err(|_| ErrorKind::InvalidData)?
                }
            }
            _ => return Err(ErrorKind::InvalidData.into()),
        };
        file.seek_relative(skipped)?;
    }
    Ok(false)
}

/// A protobuf integer, or none at the end.
fn varint(file: &mut impl Read) -> io::Result<Option<u64>> {
    let mut value = 0;
    for (position, shift) in (0..64).step_by(7).enumerate() {
        let mut byte = [0];
        match file.read(&mut byte)? {
            0 if position == 0 => return Ok(None),
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            _ => value |= u64::from(byte[0] & 0x7f) << shift,
        }
        if byte[0] & 0x80 == 0 {
            return Ok(Some(value));
        }
    }
    Err(ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::model::onnx::{GraphProto, ModelProto};

    fn file() -> Vec<u8> {
        let import = |domain: &str| OperatorSetIdProto { domain: Some(domain.into()), version: Some(1) };
        let graph = GraphProto { name: Some("a graph that is passed over".repeat(1000)), ..GraphProto::default() };
        let model = ModelProto {
            ir_version: Some(300),
            graph: Some(graph),
            opset_import: vec![import(""), import("ai.cenet")],
            ..ModelProto::default()
        };
        model.encode_to_vec()
    }

    #[test]
    fn domains_are_found_behind_the_graph() {
        let found = |domain| find(Cursor::new(file()), domain).expect("a whole file");
        assert!(found("ai.cenet") && found(""));
        assert!(!found("ai.cenet.cpu"));
    }

    #[test]
    fn what_is_no_onnx_file_imports_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        for bytes in [&b"not a model at all"[..], &[0xff; 20], &[], &file()[..9]] {
            std::fs::write(&path, bytes).expect("written");
            assert!(!imports(&path, "ai.cenet").expect("readable"), "{bytes:?}");
        }
        assert!(imports(&folder.path().join("absent"), "ai.cenet").is_err());
    }
}
