//! What an operation may answer when something is wrong: kinds of failure, told by their status as `status.rs` has it.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use utoipa::IntoResponses;
use utoipa::openapi::schema::{AllOfBuilder, Schema, SchemaType};
use utoipa::openapi::{Content, Header, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Type};

use super::super::status::{http_status, retry_after};
use crate::error::ErrorKind;

/// The failures that an operation may meet.
pub(in crate::serve) trait Kinds {
    const KINDS: &'static [ErrorKind];
}

macro_rules! kinds {
    ($(#[$attribute:meta])* $name:ident: $($kind:ident),+) => {
        $(#[$attribute])*
        pub(in crate::serve) struct $name;

        impl Kinds for $name {
            const KINDS: &'static [ErrorKind] = &[$(ErrorKind::$kind),+];
        }
    };
}

kinds!(
    /// Pictures.
    Asking: EmptyBody, InvalidRequest, InvalidParameter, ModelNotFound, PayloadTooLarge, ImageTooLarge, UnsupportedMediaType,
    UnsupportedImage, InvalidImage, WrongTask, Overloaded, InferenceFailed, Internal, Unavailable, DeadlineExceeded
);
kinds!(
    /// Tensors.
    Inferring: EmptyBody, InvalidRequest, InvalidParameter, ModelNotFound, PayloadTooLarge, ImageTooLarge, UnsupportedMediaType,
    UnsupportedImage, InvalidImage, Overloaded, InferenceFailed, Internal, Unavailable, DeadlineExceeded
);
kinds!(
    /// What is told of a model.
    Telling: InvalidParameter, ModelNotFound, Internal
);
kinds!(
    /// Whether a model answers.
    ModelReadiness: InvalidParameter, ModelNotFound, Internal, Unavailable
);
kinds!(
    /// Whether the server answers.
    Readiness: Internal, Unavailable
);
kinds!(
    /// Another filter of the log.
    ChangingLog: InvalidParameter, Forbidden, Internal, Unavailable
);
kinds!(
    /// Loading.
    Loading: InvalidParameter, Forbidden, ModelRefused, Internal
);
kinds!(
    /// Loading by a call with a body.
    LoadingAsTold: InvalidRequest, InvalidParameter, Forbidden, PayloadTooLarge, ModelRefused, Internal
);
kinds!(
    /// Unloading.
    Unloading: InvalidParameter, Forbidden, ModelNotFound, Internal
);
kinds!(
    /// A call with a body.
    Indexing: InvalidRequest, PayloadTooLarge, Internal
);
kinds!(
    /// Metrics, which there may be none of.
    Counting: RouteNotFound, Internal
);
kinds!(
    /// What can't fail but by a defect.
    Nothing: Internal
);

/// What any request may meet where the operator has given out keys.
const AT_THE_GATE: [ErrorKind; 3] = [ErrorKind::Unauthenticated, ErrorKind::RoleMissing, ErrorKind::RateLimited];

/// Answers of RFC 9457.
pub(in crate::serve) struct Problems<K>(PhantomData<K>);

/// Answers of the Open Inference Protocol.
pub(in crate::serve) struct Failures<K>(PhantomData<K>);

impl<K: Kinds> IntoResponses for Problems<K> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(K::KINDS, "application/problem+json", "Problem", true)
    }
}

impl<K: Kinds> IntoResponses for Failures<K> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(K::KINDS, "application/json", "FailedBody", false)
    }
}

fn responses(
    kinds: &[ErrorKind],
    content_type: &str,
    schema: &str,
    tells_status: bool,
) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status = BTreeMap::<u16, Vec<ErrorKind>>::new();
    for kind in kinds.iter().chain(&AT_THE_GATE) {
        by_status.entry(http_status(*kind).as_u16()).or_default().push(*kind);
    }
    let response = |(status, kinds): (u16, Vec<ErrorKind>)| {
        let body = body(schema, &kinds, tells_status.then_some(status));
        (status.to_string(), RefOr::T(response(&kinds, content_type, body)))
    };
    by_status.into_iter().map(response).collect()
}

fn response(kinds: &[ErrorKind], content_type: &str, body: Schema) -> Response {
    let codes: Vec<_> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
    let response = ResponseBuilder::new().description(codes.join(", ")).content(content_type, Content::new(Some(body)));
    match kinds.iter().find_map(|kind| retry_after(*kind)) {
        Some(_) => response.header("Retry-After", seconds()).build(),
        None => response.build(),
    }
}

fn seconds() -> Header {
    let mut header = Header::new(ObjectBuilder::new().schema_type(Type::Integer));
    header.description = Some("Seconds after which to come again.".into());
    header
}

/// `schema` with the codes that it may have here.
fn body(schema: &str, kinds: &[ErrorKind], status: Option<u16>) -> Schema {
    let codes = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(kinds.iter().map(|kind| kind.code())));
    let mut here = ObjectBuilder::new().schema_type(SchemaType::new(Type::Object)).property("code", codes);
    if let Some(status) = status {
        here = here.property("status", ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([status])));
    }
    AllOfBuilder::new().item(Ref::from_schema_name(schema)).item(here).build().into()
}
