//! The Open Inference Protocol: one table of cases over each wire, and what is particular to HTTP.

mod grpc;
#[path = "../support/mod.rs"]
mod support;
mod table;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use cenet_serve::infer::Engine;
use cenet_serve::model::Repository;
use cenet_serve::serve::{AppState, app};
use ndarray::{Array, ArrayD};
use serde_json::{Value, json};
use support::{MeanColor, Reply, Scripted, blue_png, detector, get, limits, model, send};
use table::{Case, Expected, Input, cases};

/// A classifier and a detector that always sees the same box.
fn engine() -> Engine {
    let one_box = |_| {
        let of = |values: &[f32], shape: &[usize]| Array::from_shape_vec(shape, values.to_vec()).expect("it fits");
        Ok::<Vec<ArrayD<f32>>, _>(vec![of(&[1.0, 2.0, 3.0, 4.0], &[1, 4]), of(&[2.0], &[1]), of(&[0.9], &[1])])
    };
    let models = Repository::of_all([model("colors", MeanColor, 64), detector("boxes", Scripted(one_box))]);
    let limits = cenet_serve::config::LimitOptions { max_images_in_flight: 64, ..limits() };
    Engine::new(models, &limits).expect("threads")
}

fn service() -> Router {
    app(&AppState::new(Arc::new(engine()), &limits()))
}

/// An output as it came: name, shape, and its numbers or texts.
struct Output {
    name: String,
    shape: Vec<i64>,
    numbers: Vec<f64>,
    texts: Vec<String>,
}

/// The outputs, or the error's code.
type Answer = Result<Vec<Output>, String>;

fn infer_path(case: &Case) -> String {
    match case.version {
        "" => format!("/v2/models/{}/infer", case.model),
        version => format!("/v2/models/{}/versions/{version}/infer", case.model),
    }
}

fn binary_body(case: &Case) -> (usize, Vec<u8>) {
    let input = |input: &Input| {
        json!({ "name": input.name, "shape": input.shape, "datatype": input.data_type,
                "parameters": { "binary_data_size": input.data.len() } })
    };
    let output = |(name, classification): &(&str, Option<usize>)| match classification {
        Some(count) => json!({ "name": name, "parameters": { "classification": count } }),
        None => json!({ "name": name }),
    };
    let inputs: Vec<_> = case.inputs.iter().map(input).collect();
    let outputs: Vec<_> = case.outputs.iter().map(output).collect();
    let json = json!({ "id": case.name, "inputs": inputs, "outputs": outputs }).to_string();
    let data: Vec<u8> = case.inputs.iter().flat_map(|input| input.data.clone()).collect();
    (json.len(), [json.as_bytes(), &data].concat())
}

async fn over_http(service: &Router, case: &Case) -> Answer {
    let (json_length, body) = binary_body(case);
    let request = Request::post(infer_path(case)).header("inference-header-content-length", json_length);
    let reply = send(service, request.body(Body::from(body)).expect("a request")).await;
    let answer = reply.json();
    if reply.status != 200 {
        assert!(answer["error"].as_str().is_some_and(|error| error.len() > 15), "{}: {answer}", case.name);
        return Err(answer["code"].as_str().expect("a code").to_owned());
    }
    assert_eq!(answer["id"], case.name.as_str());
    Ok(answer["outputs"].as_array().expect("a list").iter().map(output_of).collect())
}

fn output_of(output: &Value) -> Output {
    let list = |key: &str| output[key].as_array().expect("a list").clone();
    Output {
        name: output["name"].as_str().expect("a name").to_owned(),
        shape: list("shape").iter().filter_map(Value::as_i64).collect(),
        numbers: list("data").iter().filter_map(Value::as_f64).collect(),
        texts: list("data").iter().filter_map(|text| text.as_str().map(str::to_owned)).collect(),
    }
}

fn largest(row: &[f64]) -> usize {
    (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).expect("a number")
}

fn check(case: &Case, wire: &str, answer: &Answer) {
    let about = format!("{} over {wire}", case.name);
    match (&case.expected, answer) {
        (Expected::Refused(code), Err(given)) => assert_eq!(given, code, "{about}"),
        (Expected::Numbers(shapes, best), Ok(outputs)) => {
            let given: Vec<_> = outputs.iter().map(|output| (output.name.as_str(), output.shape.clone())).collect();
            assert_eq!(given, *shapes, "{about}");
            let width = outputs[0].shape.last().map_or(1, |width| *width as usize);
            let rows: Vec<_> = outputs[0].numbers.chunks(width).map(largest).collect();
            assert_eq!(rows, *best, "{about}");
        }
        (Expected::Labels(labels), Ok(outputs)) => {
            let texts = &outputs[0].texts;
            let count = outputs[0].shape.iter().product::<i64>() as usize;
            assert_eq!(texts.len(), count, "{about}");
            let per_row = texts.len() / labels.len();
            for (row, label) in labels.iter().enumerate() {
                assert!(texts[row * per_row].ends_with(&format!(":{label}")), "{about}: {texts:?}");
            }
        }
        (_, Err(code)) => panic!("{about}: refused with {code}"),
        (Expected::Refused(code), Ok(_)) => panic!("{about}: answered instead of {code}"),
    }
}

#[tokio::test]
async fn every_case_over_http() {
    let service = service();
    let cases = cases();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    for case in &cases {
        check(case, "HTTP", &over_http(&service, case).await);
    }
    check(&cases[0], "HTTP, in the end", &over_http(&service, &cases[0]).await);
}

async fn post(service: &Router, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
    let request = headers.iter().fold(Request::post(path), |request, (name, value)| request.header(*name, *value));
    send(service, request.body(body.into()).expect("a request")).await
}

const INFER: &str = "/v2/models/colors/infer";
const LENGTH: &str = "inference-header-content-length";

#[tokio::test]
async fn json_and_binary_answer_the_same() {
    let service = service();
    let rows: Vec<f32> = (0..192).map(|index| index as f32 / 192.0).collect();
    let nested = json!([(0..3).map(|c| rows[c * 64..(c + 1) * 64].chunks(8).collect::<Vec<_>>()).collect::<Vec<_>>()]);
    let ask = |data: Value, parameters: Value| {
        json!({ "inputs": [{ "name": "input", "shape": [1, 3, 8, 8], "datatype": "FP32", "data": data }],
                "outputs": [{ "name": "logits", "parameters": parameters }] })
    };
    let flat = post(&service, INFER, &[], ask(json!(rows), json!({})).to_string()).await;
    let deep = post(&service, INFER, &[], ask(nested, json!({})).to_string()).await;
    assert_eq!(flat.json()["outputs"], deep.json()["outputs"]);
    let numbers: Vec<f64> = output_of(&flat.json()["outputs"][0]).numbers;

    let reply = post(&service, INFER, &[], ask(json!(rows), json!({ "binary_data": true })).to_string()).await;
    assert_eq!(reply.status, 200);
    let length: usize = reply.headers[LENGTH].to_str().expect("text").parse().expect("a number");
    let head: Value = serde_json::from_slice(&reply.body[..length]).expect("JSON");
    assert_eq!(head["outputs"][0]["parameters"]["binary_data_size"], 12);
    assert!(head["outputs"][0].get("data").is_none());
    let (chunks, rest) = reply.body[length..].as_chunks::<4>();
    assert!(rest.is_empty());
    let binary: Vec<f64> = chunks.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect();
    assert!(binary.iter().zip(&numbers).all(|(a, b)| (a - b).abs() < 1e-6), "{binary:?} {numbers:?}");
}

#[tokio::test]
async fn a_body_without_json_is_the_one_input() {
    let service = service();
    let raw = [(LENGTH, "0")];
    let picture = post(&service, INFER, &raw, blue_png()).await;
    assert_eq!(largest(&output_of(&picture.json()["outputs"][0]).numbers), 2);
    let prepared: Vec<u8> = (0..192).flat_map(|index| f32::from(u8::from(index < 64)).to_le_bytes()).collect();
    let reply = post(&service, INFER, &raw, prepared).await;
    assert_eq!(largest(&output_of(&reply.json()["outputs"][0]).numbers), 0);
    assert_eq!(post(&service, INFER, &raw, Vec::new()).await.json()["code"], "empty_body");
}

#[tokio::test]
async fn lengths_and_json_that_lie_are_refused() {
    let service = service();
    let (length, body) = binary_body(&cases()[0]);
    let huge = u64::MAX.to_string();
    let beyond = (body.len() + 1).to_string();
    for lie in ["-1", "x", "", "1.5", "99999999999999999999999999", &huge, &beyond, "1", "4"] {
        let reply = post(&service, INFER, &[(LENGTH, lie)], body.clone()).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (400, &json!("invalid_request")), "{lie:?}");
    }
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(10_000), close.repeat(10_000));
    let inputs = |data: &str| {
        format!(r#"{{"inputs": [{{"name": "input", "shape": [1], "datatype": "FP32", "data": {data}}}]}}"#)
    };
    for json in ["", "{}", "[]", "null", "{\"inputs\": 3}", &deep("[", "]"), &inputs(&deep("[", "]")), &inputs("{}")] {
        let reply = post(&service, INFER, &[], json.to_owned()).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (400, &json!("invalid_request")), "{json:.40}");
    }
    let reply = post(&service, INFER, &[(LENGTH, &length.to_string())], body).await;
    assert_eq!(reply.status, 200, "and the next is answered");
}

#[tokio::test]
async fn server_and_models_are_told() {
    let service = service();
    for path in ["/v2", "/v2/"] {
        assert_eq!(get(&service, path).await.json()["name"], "cenet-serve");
    }
    for path in ["/v2/health/live", "/v2/health/ready", "/v2/models/colors/ready", "/v2/models/colors/versions/1/ready"]
    {
        let reply = get(&service, path).await;
        assert_eq!((reply.status.as_u16(), reply.json()), (200, json!({ "live": true, "ready": true })), "{path}");
    }
    let metadata = get(&service, "/v2/models/colors").await.json();
    let expected = json!({
        "name": "colors", "versions": ["1"], "platform": "onnx_onnxv1",
        "inputs": [{ "name": "input", "datatype": "FP32", "shape": [-1, 3, 8, 8] }],
        "outputs": [{ "name": "logits", "datatype": "FP32", "shape": [-1, -1] }],
    });
    assert_eq!(metadata, expected);
    assert_eq!(get(&service, "/v2/models/colors/config").await.json()["max_batch_size"], 1);
    post(&service, INFER, &[(LENGTH, "0")], blue_png()).await;
    post(&service, INFER, &[(LENGTH, "0")], b"no picture".to_vec()).await;
    let statistics = get(&service, "/v2/models/colors/stats").await.json()["model_stats"][0].clone();
    assert_eq!((&statistics["inference_count"], &statistics["execution_count"]), (&json!(1), &json!(1)));
    assert_eq!(statistics["inference_stats"]["fail"]["count"], 1);
    assert!(statistics["inference_stats"]["success"]["ns"].as_u64().is_some_and(|time| time > 0));
    assert_eq!(get(&service, "/v2/models/stats").await.json()["model_stats"].as_array().map(Vec::len), Some(2));
    let index = post(&service, "/v2/repository/index", &[], Vec::new()).await.json();
    assert_eq!(index[0], json!({ "name": "boxes", "version": "1", "state": "READY", "reason": "" }));
    for (path, code) in [
        ("/v2/models/nobody", "model_not_found"),
        ("/v2/models/colors/versions/7/stats", "model_not_found"),
        ("/v2/else", "route_not_found"),
    ] {
        let reply = get(&service, path).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (404, &json!(code)), "{path}");
    }
    let forbidden = post(&service, "/v2/repository/models/colors/unload", &[], Vec::new()).await;
    assert_eq!((forbidden.status.as_u16(), &forbidden.json()["code"]), (403, &json!("forbidden")));
}
