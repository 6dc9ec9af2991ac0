//! A failure as a gRPC status: code and sentence, the stable code, and when to come again.

use std::collections::HashMap;

use tonic::Status;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic_types::{ErrorDetails, StatusExt};

use super::super::status::{grpc_code, retry_after};
use super::proto::vision::Error;
use crate::error::InferError;

/// Metadata with [`ErrorKind::code`](crate::error::ErrorKind::code).
pub(super) const CODE_KEY: &str = "cenet-error-code";
/// Metadata with the seconds to wait.
const RETRY_KEY: &str = "retry-after";
/// Whose the codes in `google.rpc.ErrorInfo` are.
const DOMAIN: &str = "cenet-serve";

impl From<InferError> for Status {
    fn from(error: InferError) -> Self {
        let (code, retry) = (error.kind.code(), retry_after(error.kind));
        let mut metadata = MetadataMap::new();
        metadata.insert(CODE_KEY, MetadataValue::from_static(code));
        let mut details = ErrorDetails::with_error_info(code, DOMAIN, HashMap::new());
        if let Some(wait) = retry {
            metadata.insert(RETRY_KEY, wait.as_secs().into());
            details.set_retry_info(Some(wait));
        }
        Self::with_error_details_and_metadata(grpc_code(error.kind), error.message, details, metadata)
    }
}

impl From<InferError> for Error {
    fn from(error: InferError) -> Self {
        Self { code: error.kind.code().into(), message: error.message, status: grpc_code(error.kind) as i32 }
    }
}
