//! What no handler says alone: the head of the document, the names in its paths, and what several operations share.

use utoipa::PartialSchema;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, ContactBuilder, InfoBuilder, License, ObjectBuilder, OpenApi, Required, Type};

use super::super::status::Problem;
use super::super::v2::FailedBody;
use super::tags;

const DESCRIPTION: &str = "Pictures in, labels or boxes out; and the Open Inference Protocol for tensors. \
    A failure is `application/problem+json` with a stable `code` (below `/v2` the protocol's own `{\"error\", \"code\"}`); \
    each operation lists the codes that it may answer by their status.\n\n\
    Not told at each operation: a head that is no HTTP, too large or too slow is refused before any route is looked for (400, 414, 431, \
    or a closed connection); another method of a path that is served is 405 with `Allow`. \
    Where the operator has given out keys, each request shows one by `Authorization: Bearer` or `X-API-Key`. \
    Every answer carries `traceparent` and `x-request-id`. \
    Bodies below `/v2` may be gzip or deflate.";

const TAGS: [(&str, &str); 4] = [
    (tags::PICTURES, "Labels and boxes."),
    (tags::MODELS, "What is served; loading and unloading."),
    (tags::PROTOCOL, "KServe's and Triton's protocol, with its binary tensors, statistics and repository calls."),
    (tags::SERVER, "Health, metrics and the log."),
];

/// How a key is shown, by the scheme's name.
fn key_schemes() -> [(&'static str, SecurityScheme); 2] {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A key that the operator has given out."))
        .build();
    let header = ApiKeyValue::with_description("X-API-Key", "The same key.");
    [("bearer", SecurityScheme::Http(bearer)), ("api_key", SecurityScheme::ApiKey(ApiKey::Header(header)))]
}

/// The same document, whole.
pub(super) fn finish(mut document: OpenApi) -> OpenApi {
    let license = License::new("Apache-2.0");
    document.info = InfoBuilder::new()
        .title(env!("CARGO_PKG_NAME"))
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(license))
        .contact(Some(ContactBuilder::new().url(Some(env!("CARGO_PKG_REPOSITORY"))).build()))
        .build();
    let tag = |(name, description)| TagBuilder::new().name(name).description(Some(description)).build();
    document.tags = Some(TAGS.map(tag).to_vec());
    let components = document.components.get_or_insert_with(Components::new);
    components.schemas.insert("Problem".into(), Problem::schema());
    components.schemas.insert("FailedBody".into(), FailedBody::schema());
    // none, where the operator has given out no keys
    let mut either = vec![SecurityRequirement::default()];
    for (name, scheme) in key_schemes() {
        components.add_security_scheme(name, scheme);
        either.push(SecurityRequirement::new(name, Vec::<String>::new()));
    }
    document.security = Some(either);
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(identifier(method, path));
            let named = names(path).map(path_parameter).map(Into::into);
            operation.parameters.get_or_insert_default().extend(named);
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, .. } = item;
    let all = [("get", get), ("put", put), ("post", post), ("delete", delete)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Handlers of two paths have one name; a path and its method are there once.
fn identifier(method: &str, path: &str) -> String {
    let words = path.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.fold(method.to_owned(), |name, word| name + "_" + word)
}

/// What a path has in braces.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn path_parameter(name: &str) -> Parameter {
    let description = match name {
        "version" => "A version of the model; its default version where the path names none.",
        _ => "The model's name.",
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}
