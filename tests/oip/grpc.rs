//! The same cases over gRPC, and what is particular to it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use cenet_serve::infer::Engine;
use cenet_serve::serve::grpc::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use cenet_serve::serve::grpc::proto::inference::infer_parameter::ParameterChoice;
use cenet_serve::serve::grpc::proto::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use cenet_serve::serve::grpc::proto::inference::*;
use futures_util::{TryStreamExt, stream};
use tonic::Code;

use super::support::fake::{Fake, Mood};
use super::support::grpc::{error_code, grpc_service};
use super::support::{blue_png, engine as engine_of, limits, model, red_jpeg};
use super::table::{Case, Input, cases};
use super::{Answer, Output, check, engine};

type Client = GrpcInferenceServiceClient<Router>;

fn client(engine: &Arc<Engine>) -> Client {
    GrpcInferenceServiceClient::new(grpc_service(engine))
}

fn parameter(choice: ParameterChoice) -> InferParameter {
    InferParameter { parameter_choice: Some(choice) }
}

fn wire_input(input: &Input) -> InferInputTensor {
    InferInputTensor {
        name: input.name.into(),
        datatype: input.data_type.into(),
        shape: input.shape.clone(),
        ..InferInputTensor::default()
    }
}

fn wire_output((name, classification): &(&str, Option<usize>)) -> InferRequestedOutputTensor {
    let parameters = classification.map(|count| {
        let count = i64::try_from(count).expect("a small number");
        ("classification".to_owned(), parameter(ParameterChoice::Int64Param(count)))
    });
    InferRequestedOutputTensor { name: (*name).into(), parameters: parameters.into_iter().collect() }
}

fn request(case: &Case) -> ModelInferRequest {
    ModelInferRequest {
        model_name: case.model.into(),
        model_version: case.version.into(),
        id: case.name.clone(),
        inputs: case.inputs.iter().map(wire_input).collect(),
        outputs: case.outputs.iter().map(wire_output).collect(),
        raw_input_contents: case.inputs.iter().map(|input| input.data.clone().into()).collect(),
        ..ModelInferRequest::default()
    }
}

fn outputs(response: &ModelInferResponse) -> Vec<Output> {
    let output = |(described, data): (&model_infer_response::InferOutputTensor, &bytes::Bytes)| {
        assert_eq!(described.contents, None, "data come raw");
        let (mut numbers, mut texts, mut rest) = (Vec::new(), Vec::new(), data.as_ref());
        while let Some((four, tail)) = rest.split_first_chunk::<4>() {
            if described.datatype == "BYTES" {
                let (text, tail) = tail.split_at(u32::from_le_bytes(*four) as usize);
                texts.push(String::from_utf8(text.to_vec()).expect("text"));
                rest = tail;
            } else {
                numbers.push(f32::from_le_bytes(*four).into());
                rest = tail;
            }
        }
        Output { name: described.name.clone(), shape: described.shape.clone(), numbers, texts }
    };
    response.outputs.iter().zip(&response.raw_output_contents).map(output).collect()
}

async fn over_grpc(client: &mut Client, case: &Case) -> Answer {
    let response = client.model_infer(request(case)).await.map_err(|status| {
        assert!(status.message().len() > 15, "{}: {status:?}", case.name);
        error_code(&status).to_owned()
    })?;
    assert_eq!(response.get_ref().id, case.name);
    Ok(outputs(response.get_ref()))
}

#[tokio::test]
async fn every_case_over_grpc() {
    let engine = Arc::new(engine());
    let mut client = client(&engine);
    for case in &cases() {
        check(case, "gRPC", &over_grpc(&mut client, case).await);
    }
}

#[tokio::test]
async fn every_case_in_one_stream() {
    let engine = Arc::new(engine());
    let cases = cases();
    let requests: Vec<_> = cases.iter().map(request).collect();
    let replies = client(&engine).model_stream_infer(stream::iter(requests)).await.expect("a stream").into_inner();
    let replies: Vec<_> = replies.try_collect().await.expect("no error ends the stream");
    assert_eq!(replies.len(), cases.len());
    for (case, reply) in cases.iter().zip(&replies) {
        let response = reply.infer_response.as_ref().expect("an answer, or the id alone");
        assert_eq!(response.id, case.name);
        let last = response.parameters.get("triton_final_response").and_then(|last| last.parameter_choice.clone());
        assert_eq!(last, Some(ParameterChoice::BoolParam(true)));
        match case.expected {
            super::table::Expected::Refused(_) => assert!(reply.error_message.len() > 15, "{}", case.name),
            _ => check(case, "a gRPC stream", &Ok(outputs(response))),
        }
    }
}

/// One input with its elements typed.
fn typed(datatype: &str, shape: &[i64], contents: InferTensorContents) -> ModelInferRequest {
    let input = InferInputTensor {
        name: "input".into(),
        datatype: datatype.into(),
        shape: shape.to_vec(),
        contents: Some(contents),
        ..InferInputTensor::default()
    };
    ModelInferRequest { model_name: "colors".into(), inputs: vec![input], ..ModelInferRequest::default() }
}

fn pictures(files: &[Vec<u8>]) -> ModelInferRequest {
    let bytes_contents = files.iter().map(|file| file.clone().into()).collect();
    let contents = InferTensorContents { bytes_contents, ..InferTensorContents::default() };
    typed("BYTES", &[files.len() as i64], contents)
}

#[tokio::test]
async fn typed_contents_say_the_same_as_raw_ones() {
    let engine = Arc::new(engine());
    let mut client = client(&engine);
    let green: Vec<f32> = (0..192).map(|index| f32::from(u8::from(index / 64 == 1))).collect();
    let contents = InferTensorContents { fp32_contents: green, ..InferTensorContents::default() };
    let answer = client.model_infer(typed("FP32", &[1, 3, 8, 8], contents)).await.expect("answered");
    assert_eq!(outputs(answer.get_ref())[0].numbers, [0.0, 1.0, 0.0]);
    let answer = client.model_infer(pictures(&[blue_png(), red_jpeg()])).await.expect("answered");
    assert_eq!(outputs(answer.get_ref())[0].shape, [2, 3]);
}

#[tokio::test]
async fn contents_that_contradict_themselves_are_refused() {
    let engine = Arc::new(engine());
    let mut client = client(&engine);
    let both = ModelInferRequest { raw_input_contents: vec![blue_png().into()], ..pictures(&[blue_png()]) };
    let mut too_few = pictures(&[blue_png()]);
    too_few.inputs[0].contents = None;
    too_few.raw_input_contents = vec![blue_png().into(), blue_png().into()];
    let neither = {
        let mut request = pictures(&[blue_png()]);
        request.inputs[0].contents = None;
        request
    };
    let mut two_lists = pictures(&[blue_png()]);
    two_lists.inputs[0].contents.as_mut().expect("typed").fp32_contents = vec![1.0];
    let whole = InferTensorContents { int_contents: vec![0; 192], ..InferTensorContents::default() };
    let mut words = pictures(&[blue_png()]);
    words.parameters.insert("timeout".into(), parameter(ParameterChoice::StringParam("soon".into())));
    let mut below = pictures(&[blue_png()]);
    below.parameters.insert("priority".into(), parameter(ParameterChoice::Int64Param(-1)));
    let cases = [
        (both, "invalid_request"),
        (too_few, "invalid_request"),
        (neither, "invalid_parameter"),
        (two_lists, "invalid_parameter"),
        (typed("FP32", &[1, 3, 8, 8], whole.clone()), "invalid_parameter"),
        (typed("INT32", &[1, 3, 8, 8], whole), "invalid_parameter"),
        (words, "invalid_parameter"),
        (below, "invalid_parameter"),
    ];
    for (position, (request, expected)) in cases.into_iter().enumerate() {
        let status = client.model_infer(request).await.expect_err(expected);
        assert_eq!((status.code(), error_code(&status)), (Code::InvalidArgument, expected), "{position}: {status:?}");
    }
}

#[tokio::test]
async fn the_parameter_timeout_bounds_a_request() {
    let (network, _batches) = Fake::new(Mood::Hold);
    let engine = engine_of(model("colors", network.clone(), 8), &limits());
    let mut request = pictures(&[blue_png()]);
    request.parameters.insert("timeout".into(), parameter(ParameterChoice::Int64Param(5_000)));
    let status = client(&engine).model_infer(request).await.expect_err("held");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    network.set(Mood::Right);
}

#[tokio::test]
async fn the_parameter_priority_finds_a_place_that_is_kept() {
    let (network, mut batches) = Fake::new(Mood::Hold);
    let limits = cenet_serve::config::LimitOptions { max_images_in_flight: 64, ..limits() };
    let engine = engine_of(
        super::support::batching_model(
            "colors",
            network.instances(2),
            cenet_serve::batch::BatchPolicy { max_size: 8, max_delay: std::time::Duration::ZERO },
            8,
        ),
        &limits,
    );
    let mut crowd = client(&engine);
    let crowd = tokio::spawn(async move { crowd.model_infer(pictures(&vec![blue_png(); 7])).await });
    batches.recv().await.expect("the network is busy");
    let mut request = pictures(&[red_jpeg()]);
    assert_eq!(client(&engine).model_infer(request.clone()).await.expect_err("full").code(), Code::ResourceExhausted);
    request.parameters.insert("priority".into(), parameter(ParameterChoice::Uint64Param(1)));
    let mut urgent = client(&engine);
    let urgent = tokio::spawn(async move { urgent.model_infer(request).await });
    network.set(Mood::Right);
    urgent.await.expect("no panic").expect("a place is kept");
    crowd.await.expect("no panic").expect("answered");
}

#[tokio::test]
async fn server_and_models_tell_of_themselves() {
    let engine = Arc::new(engine());
    let mut client = client(&engine);
    assert!(client.server_live(ServerLiveRequest {}).await.expect("told").get_ref().live);
    assert!(client.server_ready(ServerReadyRequest {}).await.expect("told").get_ref().ready);
    let server = client.server_metadata(ServerMetadataRequest {}).await.expect("told").into_inner();
    assert!(server.name == "cenet-serve" && server.extensions.contains(&"statistics".to_owned()), "{server:?}");
    for (name, ready) in [("colors", true), ("nobody", false)] {
        let request = ModelReadyRequest { name: name.into(), version: String::new() };
        assert_eq!(client.model_ready(request).await.expect("told").get_ref().ready, ready, "{name}");
    }
    let named = |name: &str| ModelMetadataRequest { name: name.into(), version: "1".into() };
    let model = client.model_metadata(named("colors")).await.expect("told").into_inner();
    assert_eq!((model.versions, model.platform.as_str()), (vec!["1".to_owned()], "onnx_onnxv1"));
    assert_eq!(
        (model.inputs[0].datatype.as_str(), model.inputs[0].shape.as_slice()),
        ("FP32", [-1, 3, 8, 8].as_slice())
    );
    assert_eq!(client.model_metadata(named("nobody")).await.expect_err("none").code(), Code::NotFound);
    let request = ModelConfigRequest { name: "colors".into(), version: String::new() };
    let config = client.model_config(request).await.expect("told").into_inner().config.expect("a configuration");
    assert_eq!((config.name.as_str(), config.max_batch_size, config.backend.as_str()), ("colors", 1, "onnxruntime"));
    assert_eq!(
        (config.input[0].data_type(), config.input[0].dims.as_slice()),
        (DataType::TypeFp32, [3, 8, 8].as_slice())
    );
    assert_eq!(config.instance_group[0].kind(), model_instance_group::Kind::Cpu);
    engine.shutdown.begin();
    assert!(!client.server_ready(ServerReadyRequest {}).await.expect("told").get_ref().ready);
}

#[tokio::test]
async fn statistics_count_what_was_asked() {
    let engine = Arc::new(engine());
    let mut client = client(&engine);
    client.model_infer(pictures(&[blue_png(), red_jpeg()])).await.expect("answered");
    client.model_infer(pictures(&[b"no picture".to_vec()])).await.expect_err("refused");
    let request = ModelStatisticsRequest { name: "colors".into(), version: String::new() };
    let statistics = client.model_statistics(request).await.expect("told").into_inner().model_stats;
    let [colors] = statistics.as_slice() else { panic!("{statistics:?}") };
    assert_eq!((colors.name.as_str(), colors.inference_count, colors.execution_count), ("colors", 2, 2));
    assert!(colors.last_inference > 1_600_000_000_000, "milliseconds since 1970");
    let counts = colors.inference_stats.as_ref().expect("counts");
    assert_eq!(counts.fail.map(|fail| fail.count), Some(1));
    assert!(counts.compute_infer.is_some_and(|count| count.count == 1 && count.ns > 0), "of requests");
    let all = client.model_statistics(ModelStatisticsRequest::default()).await.expect("told").into_inner();
    assert_eq!(all.model_stats.len(), 2);
}

#[tokio::test]
async fn the_repository_is_told_and_changed_where_that_is_allowed() {
    let mut engine = engine();
    engine.model_calls = true;
    let engine = Arc::new(engine);
    let mut allowed = client(&engine);
    let index = async |client: &mut Client| {
        let index = client.repository_index(RepositoryIndexRequest::default()).await.expect("told").into_inner();
        index.models.into_iter().map(|model| (model.name, model.state)).collect::<Vec<_>>()
    };
    let ready = |name: &str| (name.to_owned(), "READY".to_owned());
    assert_eq!(index(&mut allowed).await, [ready("boxes"), ready("colors")]);
    let unload = |name: &str| RepositoryModelUnloadRequest { model_name: name.into(), ..Default::default() };
    let load = |name: &str| RepositoryModelLoadRequest { model_name: name.into(), ..Default::default() };
    allowed.repository_model_unload(unload("boxes")).await.expect("unloaded");
    assert_eq!(index(&mut allowed).await, [ready("colors")]);
    assert_eq!(allowed.repository_model_unload(unload("boxes")).await.expect_err("gone").code(), Code::NotFound);
    let status = allowed.repository_model_load(load("boxes")).await.expect_err("it lies on no disk");
    assert_eq!((status.code(), error_code(&status)), (Code::FailedPrecondition, "model_refused"));
    let value = ModelRepositoryParameter {
        parameter_choice: Some(model_repository_parameter::ParameterChoice::StringParam("{}".into())),
    };
    let configured =
        RepositoryModelLoadRequest { parameters: HashMap::from([("config".into(), value)]), ..load("boxes") };
    let status = allowed.repository_model_load(configured).await.expect_err("a model is as its directory says");
    assert_eq!(error_code(&status), "invalid_parameter");
    let mut forbidden = client(&Arc::new(super::engine()));
    assert_eq!(forbidden.repository_model_load(load("colors")).await.expect_err("no").code(), Code::PermissionDenied);
}
