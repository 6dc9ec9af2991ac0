//! Who shows no key, or another, or one without the role, does nothing; over both faces alike.

mod support;

use std::io::Write;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use cenet_serve::access::{Access, KeySource, OpenRoute, Role, new_key};
use cenet_serve::infer::Engine;
use cenet_serve::model::Repository;
use cenet_serve::serve::grpc::proto::inference::RepositoryModelLoadRequest;
use cenet_serve::serve::grpc::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use cenet_serve::serve::grpc::proto::vision::vision_client::VisionClient;
use cenet_serve::serve::{AppState, app};
use support::grpc::{Running, best, classify, error_code, grpc_service};
use support::{MeanColor, Reply, blue_png, limits, model, send, serving};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// A key for each role, in their order.
struct Keys {
    infer: String,
    admin: String,
    metrics: String,
    /// May ask twice a second.
    slow: String,
}

/// A server that lets in who shows one of the keys.
fn guarded(open: &[OpenRoute]) -> (Arc<Engine>, Keys) {
    let make = |role, rate| new_key("somebody", &[role], NonZeroU32::new(rate)).expect("random bytes");
    let made = [make(Role::Infer, 0), make(Role::Admin, 0), make(Role::Metrics, 0), make(Role::Infer, 2)];
    let lines = made.iter().map(|[_, line]| line.clone()).collect();
    let mut engine = Engine::new(Repository::of(model("colors", MeanColor, 8)), &limits()).expect("threads");
    engine.access = Access::of(KeySource { file: None, lines }, open).expect("good lines");
    engine.model_calls = true;
    let [[infer, _], [admin, _], [metrics, _], [slow, _]] = made;
    (Arc::new(engine), Keys { infer, admin, metrics, slow })
}

async fn ask(service: &Router, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let request = Request::builder().method(method).uri(path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let body = if path == "/classify" { Body::from(blue_png()) } else { Body::empty() };
    send(service, request.body(body).expect("a request")).await
}

/// Every kind of route, with what it takes.
const ROUTES: [(&str, &str, Role); 12] = [
    ("POST", "/classify", Role::Infer),
    ("POST", "/detect", Role::Infer),
    ("GET", "/", Role::Infer),
    ("GET", "/v1/models", Role::Infer),
    ("GET", "/v2", Role::Infer),
    ("GET", "/v2/models/colors", Role::Infer),
    ("POST", "/v2/models/colors/infer", Role::Infer),
    ("GET", "/nowhere", Role::Infer),
    ("GET", "/metrics", Role::Metrics),
    ("PUT", "/v1/log?filter=info", Role::Admin),
    ("PUT", "/v1/models/nobody", Role::Admin),
    ("POST", "/v2/repository/models/nobody/load", Role::Admin),
];

#[tokio::test]
async fn without_a_key_there_is_only_health() {
    let (engine, _) = guarded(&[OpenRoute::Health]);
    let service = serving(&engine);
    for (method, path, _) in ROUTES {
        let reply = ask(&service, method, path, &[]).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (401, &"unauthenticated".into()), "{method} {path}");
        assert_eq!(reply.headers["www-authenticate"], "Bearer", "{method} {path}");
    }
    for path in ["/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"] {
        assert_eq!(ask(&service, "GET", path, &[]).await.status, 200, "{path}");
    }
    let status = VisionClient::new(grpc_service(&engine)).classify(classify(&[&blue_png()])).await.expect_err("no key");
    assert_eq!((status.code(), error_code(&status)), (Code::Unauthenticated, "unauthenticated"));
    let about = HealthCheckRequest::default();
    HealthClient::new(grpc_service(&engine)).check(about).await.expect("health takes no key");
}

#[tokio::test]
async fn what_is_open_is_the_operators_choice() {
    let (engine, _) = guarded(&[OpenRoute::Metrics, OpenRoute::Page]);
    let service = serving(&engine);
    let statuses = ["/metrics", "/", "/page/app.js", "/openapi.json", "/healthz", "/v1/models"]
        .map(async |path| ask(&service, "GET", path, &[]).await.status.as_u16());
    assert_eq!(futures_util::future::join_all(statuses).await, [200, 200, 200, 200, 401, 401]);
}

#[tokio::test]
async fn a_key_opens_what_its_role_is_for_and_nothing_else() {
    let (engine, keys) = guarded(&[OpenRoute::Health]);
    let service = serving(&engine);
    for (role, key) in [(Role::Infer, &keys.infer), (Role::Admin, &keys.admin), (Role::Metrics, &keys.metrics)] {
        for (method, path, needed) in ROUTES {
            let reply = ask(&service, method, path, &[("x-api-key", key)]).await;
            if role == needed {
                assert!(![401, 403].contains(&reply.status.as_u16()), "{role} {method} {path}: {}", reply.status);
            } else {
                let told = (reply.status.as_u16(), &reply.json()["code"]);
                assert_eq!(told, (403, &"role_missing".into()), "{role} {method} {path}");
            }
        }
    }
    let bearer = format!("bEARER {}", keys.infer);
    let reply = ask(&service, "POST", "/classify", &[("authorization", &bearer)]).await;
    assert_eq!(reply.predictions()[0]["label"], "blue");
}

fn with_key<T>(message: T, key: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().expect("text"));
    request
}

fn told<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.expect_err("refused");
    (status.code(), error_code(&status).to_owned())
}

#[tokio::test]
async fn over_grpc_the_same_keys_open_the_same() {
    let (engine, keys) = guarded(&[OpenRoute::Health]);
    let mut vision = VisionClient::new(grpc_service(&engine));
    let answer = vision.classify(with_key(classify(&[&blue_png()]), &keys.infer)).await.expect("let in");
    assert_eq!(best(answer.get_ref()), ["blue"]);
    let refused = vision.classify(with_key(classify(&[&blue_png()]), &keys.admin)).await;
    assert_eq!(told(refused), (Code::PermissionDenied, "role_missing".into()));
    let mut inference = GrpcInferenceServiceClient::new(grpc_service(&engine));
    let load = || RepositoryModelLoadRequest { model_name: "nobody".into(), ..RepositoryModelLoadRequest::default() };
    let refused = inference.repository_model_load(with_key(load(), &keys.infer)).await;
    assert_eq!(told(refused), (Code::PermissionDenied, "role_missing".into()));
    let missing = inference.repository_model_load(with_key(load(), &keys.admin)).await;
    assert_eq!(told(missing), (Code::FailedPrecondition, "model_refused".into()), "the admin is let in");
}

#[tokio::test]
async fn no_part_of_a_key_and_no_other_way_of_showing_it_gets_in() {
    let (engine, keys) = guarded(&[OpenRoute::Health]);
    let (service, key) = (serving(&engine), keys.infer.as_str());
    let mut wrong: Vec<String> = (0..key.len()).map(|length| key[..length].to_owned()).collect();
    wrong.extend((0..key.len()).map(|position| {
        let mut changed = key.as_bytes().to_vec();
        changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
        String::from_utf8(changed).expect("letters")
    }));
    wrong.extend([format!("{key}A"), format!("{key}{key}"), format!("{key},{key}"), key.to_lowercase()]);
    for wrong in &wrong {
        let reply = ask(&service, "GET", "/v1/models", &[("x-api-key", wrong)]).await;
        assert_eq!(reply.status, 401, "{wrong}");
        let text = String::from_utf8(reply.body).expect("text");
        assert!(wrong.len() < 8 || !text.contains(wrong.as_str()), "an error tells no key: {text}");
    }
    let bearer = format!("Bearer {key}");
    let ways: [&[(&str, &str)]; 6] = [
        &[("authorization", key)],
        &[("authorization", &format!("Basic {key}"))],
        &[("authorization", &format!("Bearer{key}"))],
        &[("authorization", &bearer), ("authorization", &bearer)],
        &[("authorization", &bearer), ("x-api-key", key)],
        &[("cookie", &format!("x-api-key={key}"))],
    ];
    for way in ways {
        let reply = ask(&service, "GET", "/v1/models", way).await;
        assert_eq!(reply.status, 401, "{:?}", way.iter().map(|(name, _)| name).collect::<Vec<_>>());
    }
    assert_eq!(ask(&service, "GET", &format!("/v1/models?api_key={key}"), &[]).await.status, 401);
}

#[tokio::test]
async fn a_key_with_a_rate_is_turned_away_beyond_it() {
    let (engine, keys) = guarded(&[OpenRoute::Health]);
    let service = serving(&engine);
    let mut last = ask(&service, "GET", "/v1/models", &[("x-api-key", &keys.slow)]).await;
    let mut asked = 1;
    while last.status == 200 {
        last = ask(&service, "GET", "/v1/models", &[("x-api-key", &keys.slow)]).await;
        asked += 1;
    }
    assert!(asked >= 3, "two at once are within the rate");
    assert_eq!((last.status.as_u16(), &last.json()["code"]), (429, &"rate_limited".into()));
    assert_eq!(last.headers["retry-after"], "1");
    assert_eq!(ask(&service, "GET", "/v1/models", &[("x-api-key", &keys.infer)]).await.status, 200, "others may");
}

#[tokio::test]
async fn the_file_is_followed_and_a_broken_one_changes_nothing() {
    let [first, first_line] = new_key("first", &[Role::Infer], None).expect("random bytes");
    let [second, second_line] = new_key("second", &[Role::Infer], None).expect("random bytes");
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    writeln!(file, "# who may\n{first_line} # since ever").expect("written");
    let path = file.path().to_str().expect("text").to_owned();
    let models = Repository::of(model("colors", MeanColor, 8));
    let server = Running::start(models, &["--api-keys-file", &path]).await;
    let mut client = VisionClient::new(server.channel().await);
    let mut asks = async |key: &str| match client.classify(with_key(classify(&[&blue_png()]), key)).await {
        Ok(_) => true,
        Err(status) => {
            assert_eq!(status.code(), Code::Unauthenticated);
            false
        }
    };
    assert_eq!((asks(&first).await, asks(&second).await), (true, false));
    std::fs::write(&path, "no such line here\n").expect("written");
    assert!(asks(&first).await, "a broken file changes nothing");
    std::fs::write(&path, second_line).expect("written");
    while !asks(&second).await {
        tokio::task::yield_now().await;
    }
    assert!(!asks(&first).await, "who is not in the file any more is not let in");
    server.ended.abort();
}

#[tokio::test]
async fn web_pages_may_ask_that_the_operator_names_and_no_others() {
    let (engine, keys) = guarded(&[OpenRoute::Health]);
    let mut state = AppState::new(engine, &limits());
    let ask_as = async |service: &Router, origin: &str| {
        let asked = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "x-api-key"),
        ];
        let before = ask(service, "OPTIONS", "/classify", &asked).await.headers;
        let answer = ask(service, "POST", "/classify", &[("origin", origin), ("x-api-key", &keys.infer)]).await;
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        [before, answer.headers].map(|headers| {
            headers.get("access-control-allow-origin").map(|origin| origin.to_str().expect("text").to_owned())
        })
    };
    assert_eq!(ask_as(&app(&state), "https://example.org").await, [None, None], "none by default");
    state.cors_origins = ["https://example.org".to_owned()].into();
    let service = app(&state);
    assert_eq!(
        ask_as(&service, "https://example.org").await,
        [Some("https://example.org".into()), Some("https://example.org".into())]
    );
    assert_eq!(ask_as(&service, "https://example.com").await, [None, None]);
}
