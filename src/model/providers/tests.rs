//! Providers without a GPU: what happens where none of its providers can start, and what a GPU would be given.

use std::cell::RefCell;
use std::path::PathBuf;

use ort::session::Session;

use super::*;
use crate::manifest::{CudaOptions, Runtime};
use crate::model::session::configure;
use crate::model::{GraphSummary, OnnxSession, SessionOptions, runtime};

fn network() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models/tiny_ce/1/model.onnx")
}

fn providers(order: &[Provider], strict: bool) -> Providers {
    let gpu = order.iter().filter(|provider| **provider != Provider::Cpu).map(|provider| (*provider, Settings::new()));
    Providers { gpu: gpu.collect(), cpu: order.contains(&Provider::Cpu), strict, ..Providers::default() }
}

const ALL: [Provider; 3] = [Provider::Tensorrt, Provider::Cuda, Provider::Cpu];

/// Starts on what `works` with a session that isn't one; `at_registration` is when the others fail.
fn start(
    order: &[Provider],
    strict: bool,
    works: &[Provider],
    at_registration: bool,
) -> (LoadResult<Providers>, usize) {
    let attempts = RefCell::new(0);
    let outcome = providers(order, strict).start(Path::new("network"), |providers| {
        *attempts.borrow_mut() += 1;
        let broken = providers.gpu.iter().position(|(provider, _)| !works.contains(provider));
        match broken {
            None if providers.on_gpu() || works.contains(&Provider::Cpu) => Ok(()),
            Some(place) if at_registration => Err(Failure::Provider(place, ort::Error::new("no driver"))),
            _ => Err(Failure::Session(ort::Error::new("no session"))),
        }
    });
    (outcome.map(|((), providers)| providers), attempts.into_inner())
}

#[test]
fn one_that_cannot_start_is_left_out_and_told_once() {
    for at_registration in [true, false] {
        let (outcome, attempts) = start(&ALL, false, &[Provider::Cuda, Provider::Cpu], at_registration);
        let left = outcome.expect("CUDA works");
        assert_eq!(left.gpu.iter().map(|(provider, _)| *provider).collect::<Vec<_>>(), [Provider::Cuda]);
        assert_eq!(left.refused.iter().map(|refusal| refusal.provider).collect::<Vec<_>>(), [Provider::Tensorrt]);
        assert_eq!(attempts, 2);
    }
    let (outcome, _) = start(&ALL, false, &[Provider::Tensorrt, Provider::Cpu], true);
    assert_eq!(outcome.expect("TensorRT works").refused[0].provider, Provider::Cuda, "the one that registration names");
    let (outcome, attempts) = start(&ALL, false, &[Provider::Cpu], false);
    assert!(!outcome.expect("the CPU works").on_gpu());
    assert_eq!(attempts, 3);
}

#[test]
fn a_strict_model_tries_no_further() {
    let (outcome, attempts) = start(&ALL, true, &[Provider::Cuda, Provider::Cpu], true);
    assert!(matches!(outcome, Err(LoadError::Provider { provider: Provider::Tensorrt, .. })));
    assert_eq!(attempts, 1);
}

#[test]
fn without_the_cpu_in_the_list_the_last_refusal_is_the_models() {
    let order = [Provider::Tensorrt, Provider::Cuda];
    let (outcome, attempts) = start(&order, false, &[Provider::Cpu], true);
    assert!(matches!(outcome, Err(LoadError::Provider { provider: Provider::Cuda, .. })));
    assert_eq!(attempts, 2);
}

#[test]
fn what_the_cpu_refuses_is_the_networks_fault() {
    let (outcome, _) = start(&ALL, false, &[], false);
    assert!(matches!(outcome, Err(LoadError::Session { .. })));
}

#[test]
fn the_cpus_library_goes_on_without_a_gpu() {
    let options = SessionOptions { providers: providers(&ALL, false), ..SessionOptions::default() };
    let session = OnnxSession::load(&network(), &options).expect("the CPU runs it");
    let placement = session.placement();
    assert_eq!(placement.provider, Provider::Cpu);
    assert_eq!(placement.nodes.keys().collect::<Vec<_>>(), ["cpu"]);
    let refused: Vec<_> = placement.refused.iter().map(|refusal| refusal.provider).collect();
    assert_eq!(refused, [Provider::Tensorrt, Provider::Cuda]);
    for refusal in &placement.refused {
        assert!(refusal.reason.contains("built without it"), "{}", refusal.reason);
    }
}

#[test]
fn the_cpus_library_refuses_a_strict_model() {
    let options = SessionOptions { providers: providers(&ALL, true), ..SessionOptions::default() };
    let refusal = OnnxSession::load(&network(), &options).expect_err("no TensorRT").to_string();
    assert!(refusal.starts_with("provider tensorrt can't be used: "), "{refusal}");
}

/// The operator's nodes in the graph that a session is given with `providers` in force, everything but those themselves being the same.
fn operator_nodes(providers: &Providers) -> usize {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let optimized = folder.path().join("optimized.onnx");
    let builder = Session::builder(runtime::environment().expect("ONNX Runtime")).expect("a builder");
    let builder = configure(builder, &SessionOptions::default(), providers).expect("settings");
    let builder = builder.with_optimized_model_path(&optimized);
    let session = builder.expect("a path").commit_from_file(network()).expect("the network loads");
    drop(session);
    GraphSummary::read(&optimized).expect("an ONNX file").ce_blocks.len()
}

#[test]
fn a_gpu_is_given_no_node_of_the_operator() {
    assert_eq!(operator_nodes(&providers(&ALL, false)), 0, "the body is inlined");
    assert!(operator_nodes(&Providers::default()) > 0, "the CPU has the kernel");
}

#[test]
fn the_gpus_kernel_is_for_cuda_alone_and_on_request() {
    let native = |order: &[Provider], cuda_ce_kernel| {
        let providers = Providers { cuda_ce_kernel, ..providers(order, false) };
        runtime::environment().expect("ONNX Runtime");
        providers.native_operator().expect("a domain").is_some()
    };
    assert!(native(&[Provider::Cuda], true));
    assert!(!native(&[Provider::Cuda], false), "only on request");
    assert!(!native(&[Provider::Tensorrt, Provider::Cuda], true), "it would cut TensorRT's engine");
    assert!(native(&[Provider::Cpu], true), "the CPU's own");
}

#[test]
fn what_onnx_runtime_says_is_put_into_plain_words() {
    let cases = [
        ("CUDA execution provider is either not enabled or not available.", "built without it"),
        ("TensorRT execution provider is not enabled in this build.", "built without it"),
        (
            "Failed to load library libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file: No such file or directory",
            "CUDA's libraries aren't installed (libcublasLt.so.13",
        ),
        ("error: libcuda.so.1: cannot open shared object file", "NVIDIA's driver isn't there"),
        ("error: libcudnn.so.9: cannot open shared object file", "cuDNN isn't installed"),
        ("error: libnvinfer.so.10: cannot open shared object file", "TensorRT isn't installed"),
        ("/opt/libonnxruntime_providers_shared.so: cannot open shared object file", "isn't beside the others"),
        ("libfoo.so: cannot open shared object file", "libfoo.so: cannot open shared object file"),
    ];
    for (message, expected) in cases {
        let reason = Refusal::new(Provider::Cuda, message).reason;
        assert!(reason.contains(expected), "{message}: {reason}");
    }
    let no_driver = "/src/cuda_execution_provider_info.cc:63 FromProviderOptions [ONNXRuntimeError] : 1 : FAIL : Failed to parse \
                     provider option \"device_id\": CUDA failure 35: CUDA driver version is insufficient for CUDA runtime \
                     version ; GPU=-1 ; hostname=a ; file=/src/cuda_execution_provider_info.cc ; line=70";
    assert_eq!(
        Refusal::new(Provider::Cuda, no_driver).reason,
        "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version"
    );
}

/// The folder with onnxruntime-gpu's libraries, where `make test-gpu-fallback` has fetched them.
fn gpu_runtime() -> Option<PathBuf> {
    let folder = std::env::var_os("CENET_GPU_RUNTIME").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("passed over: CENET_GPU_RUNTIME names no folder with onnxruntime-gpu's libraries");
    }
    folder
}

#[test]
fn every_option_is_one_that_the_providers_library_knows() {
    let Some(folder) = gpu_runtime() else { return };
    let runtime = Runtime::default();
    let cuda = CudaOptions { memory_limit_mib: Some(1), ..runtime.cuda };
    let options = TensorrtOptions { max_workspace_mib: Some(1), optimization_level: Some(3), ..runtime.tensorrt };
    let batches = Batches { input: "input", picture: [3, 8, 8], largest: 8 };
    let mut tensorrt = settings::of_tensorrt(&options, &batches);
    let scratch = tempfile::tempdir().expect("a temporary folder");
    tensorrt.extend(engine_cache::settings(scratch.path(), &options, &network(), &tensorrt).expect("folders"));
    for (library, settings) in [("cuda", settings::of_cuda(&cuda)), ("tensorrt", tensorrt)] {
        let library = std::fs::read(folder.join(format!("libonnxruntime_providers_{library}.so"))).expect("fetched");
        for (key, _) in settings {
            let stored = format!("{key}\0").into_bytes();
            assert!(memchr::memmem::find(&library, &stored).is_some(), "{key}");
        }
    }
}
