//! Parameters that several operations take in their heads.

use utoipa::IntoParams;

/// How a request wants to be treated.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "`incoming` reads these headers one by one; this tells of them")]
pub(in crate::serve) struct TermsHeaders {
    /// Milliseconds that the request may take, where less than the server allows; then it is answered 504.
    #[param(rename = "X-Request-Timeout-Ms", minimum = 1, nullable = false, example = 30_000)]
    timeout_ms: Option<usize>,
    /// `high` finds places that are kept free, and goes first.
    #[param(rename = "X-Request-Priority", inline, nullable = false)]
    priority: Option<PriorityWord>,
}

/// What `X-Request-Priority` may say.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "as above")]
enum PriorityWord {
    Normal,
    High,
}

/// How a body of the Open Inference Protocol is divided.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "as above")]
pub(in crate::serve) struct DivisionHeader {
    /// Bytes of the JSON before the tensors' bytes; 0 where the whole body is the one input. Without it all of the body is JSON.
    #[param(rename = "Inference-Header-Content-Length", minimum = 0, nullable = false)]
    length: Option<usize>,
}
