//! Which operator domains an ONNX file imports, read without its weights: of a large file only a few bytes are looked at.

use std::io::{self, ErrorKind, Read, Seek};
use std::path::Path;

use prost::Message;

use crate::model::onnx::OperatorSetIdProto;
use crate::model::wire::Wire;

/// `ModelProto.opset_import`.
const OPSET_IMPORT: u64 = 8;

/// Whether the ONNX file at `path` imports `domain`. What is no ONNX file imports nothing.
///
/// # Errors
/// When the file can't be read.
pub(super) fn imports(path: &Path, domain: &str) -> io::Result<bool> {
    match find(Wire::open(path)?, domain) {
        Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) => Ok(false),
        outcome => outcome,
    }
}

pub(super) fn find(mut file: Wire<impl Read + Seek>, domain: &str) -> io::Result<bool> {
    while let Some(field) = file.next(file.end())? {
        if field.number != OPSET_IMPORT {
            file.skip(field.length)?;
            continue;
        }
        let message = file.bytes(field.length)?;
        let import = OperatorSetIdProto::decode(message.as_slice()).map_err(|_| ErrorKind::InvalidData)?;
        if import.domain() == domain {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
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
        let found = |domain| find(Wire::of(&file()), domain).expect("a whole file");
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
