//! `/classify` over HTTP: every way in gives the same answer.

mod support;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use support::{MeanColor, blue_png, form, get, model, post, red_jpeg, service};

#[tokio::test]
async fn raw_form_and_json_answer_the_same() {
    let service = service(model("colors", MeanColor, 8));
    let picture = red_jpeg();
    let raw = post(&service, "/classify", "image/jpeg", picture.clone()).await.predictions();
    assert_eq!(raw[0]["label"], "red");
    assert_eq!(raw[0]["index"], 0);
    assert!(raw[0]["score"].as_f64().is_some_and(|score| score > 0.34 && score < 1.0), "{raw}");

    // what `curl --data-binary` says of every file
    let as_curl_sends = post(&service, "/classify", "application/x-www-form-urlencoded", picture.clone()).await;
    assert_eq!(as_curl_sends.predictions(), raw);
    let (content_type, body) = form(&[&picture]);
    assert_eq!(post(&service, "/classify", &content_type, body).await.predictions(), raw);
    let text = BASE64_STANDARD.encode(&picture);
    let json_body = json!({ "image": text }).to_string();
    assert_eq!(post(&service, "/classify", "application/json; charset=utf-8", json_body).await.predictions(), raw);
    let data_url = json!({ "image": format!("data:image/jpeg;base64,{text}") }).to_string();
    assert_eq!(post(&service, "/classify", "application/json", data_url).await.predictions(), raw);
}

#[tokio::test]
async fn several_pictures_answer_in_order_and_one_bad_one_spoils_none() {
    let service = service(model("colors", MeanColor, 8));
    let (content_type, body) = form(&[&red_jpeg(), b"no picture", &blue_png()]);
    let reply = post(&service, "/classify?top_k=1", &content_type, body).await;
    assert_eq!(reply.status, 200);
    let results = &reply.json()["results"];
    assert_eq!(results[0]["predictions"][0]["label"], "red");
    assert_eq!(results[1]["error"]["code"], "unsupported_image");
    assert_eq!(results[2]["predictions"][0]["label"], "blue");

    let list_of_one = json!({ "images": [BASE64_STANDARD.encode(blue_png())] }).to_string();
    let reply = post(&service, "/classify", "application/json", list_of_one).await;
    assert_eq!(reply.json()["results"].as_array().map(Vec::len), Some(1), "a list in, a list out");
}

#[tokio::test]
async fn parameters_shape_the_answer() {
    let service = service(model("colors", MeanColor, 8));
    let labels = async |query: &str| {
        let reply = post(&service, &format!("/classify{query}"), "image/png", blue_png()).await;
        reply.predictions().as_array().map(Vec::len)
    };
    assert_eq!(labels("").await, Some(3));
    assert_eq!(labels("?top_k=2").await, Some(2));
    assert_eq!(labels("?top_k=1000&model=colors&version=1").await, Some(3));
    assert_eq!(labels("?threshold=0.4").await, Some(1));
    assert_eq!(labels("?threshold=1").await, Some(0));
}

#[tokio::test]
async fn an_answer_names_its_model_and_its_stages() {
    let service = service(model("colors", MeanColor, 8));
    let answer = post(&service, "/classify", "image/png", blue_png()).await.json();
    assert_eq!(answer["model"], "colors");
    assert_eq!(answer["version"], "1");
    let timings = answer["timings_ms"].as_object().expect("an object");
    for stage in ["decode", "preprocess", "queue", "inference", "postprocess", "total"] {
        assert!(timings[stage].is_f64(), "{stage} is missing in {timings:?}");
    }
}

#[tokio::test]
async fn models_health_and_metrics_are_told() {
    let service = service(model("colors", MeanColor, 8));
    assert_eq!(get(&service, "/healthz").await.status, 200);
    assert_eq!(get(&service, "/readyz").await.status, 200);
    let models = get(&service, "/v1/models").await.json();
    assert_eq!(models["models"][0]["name"], "colors");
    assert_eq!(models["models"][0]["labels"], 3);

    post(&service, "/classify", "image/png", blue_png()).await.predictions();
    post(&service, "/classify", "image/png", "no picture").await;
    post(&service, "/classify?model=invented", "image/png", blue_png()).await;
    let metrics = get(&service, "/metrics").await;
    assert!(metrics.content_type().starts_with("text/plain; version=0.0.4"));
    let text = String::from_utf8(metrics.body).expect("text");
    for line in [
        r#"cenet_requests_total{model="colors",protocol="http",route="/classify",status="200",version="1"} 1"#,
        r#"cenet_requests_total{model="colors",protocol="http",route="/classify",status="415",version="1"} 1"#,
        r#"cenet_requests_total{model="",protocol="http",route="/classify",status="404",version=""} 1"#,
        r#"cenet_images_total{model="colors",outcome="ok",version="1"} 1"#,
        r#"cenet_images_total{model="colors",outcome="unsupported_image",version="1"} 1"#,
        r#"cenet_stage_duration_seconds_count{model="colors",stage="inference",version="1"} 1"#,
        r#"cenet_image_duration_seconds_count{model="colors",version="1"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains("invented"), "a caller's words are no label");
}
