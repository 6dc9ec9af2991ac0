//! Every metric: the one list of names, kinds, labels and help. `docs/metrics.md` says the same, and a test holds the two together.

use super::{Family, Kind};

macro_rules! families {
    ($($(#[$doc:meta])* $constant:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $($(#[$doc])* pub const $constant: Family =
            Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)+

        /// Every metric.
        pub const ALL: &[Family] = &[$($constant),+];
    };
}

families! {
    /// OpenTelemetry's `http.server.request.duration`.
    HTTP_DURATION: Histogram "http_server_request_duration_seconds" ["http_request_method", "http_route", "http_response_status_code"]
        "Time from an HTTP request's head to the head of its answer.";
    /// OpenTelemetry's `http.server.active_requests`.
    HTTP_ACTIVE: Gauge "http_server_active_requests" ["http_request_method"]
        "HTTP requests that are being answered.";
    /// OpenTelemetry's `rpc.server.call.duration`.
    RPC_DURATION: Histogram "rpc_server_call_duration_seconds" ["rpc_system_name", "rpc_method", "rpc_response_status_code"]
        "Time from a gRPC call's head to its status.";
    /// OpenTelemetry has no name for it.
    RPC_ACTIVE: Gauge "cenet_grpc_calls_in_flight" []
        "gRPC calls that are being answered, open streams among them.";
    /// By whom was asked.
    REQUESTS: Counter "cenet_requests_total" ["protocol", "route", "model", "version", "status"]
        "Requests answered, by the model that was asked, where one was.";
    /// See `Rejection`.
    REJECTIONS: Counter "cenet_rejections_total" ["model", "version", "reason"]
        "Requests, or single pictures of them, turned away that could have been answered at another time.";
    /// By what became of them.
    IMAGES: Counter "cenet_images_total" ["model", "version", "outcome"]
        "Pictures and tensors that went their way: ok, or the error's code.";
    /// Of those that were answered.
    IMAGE_DURATION: Histogram "cenet_image_duration_seconds" ["model", "version"]
        "Time from admission to answer of a picture or tensor that was answered.";
    /// Of those that were answered.
    STAGE_DURATION: Histogram "cenet_stage_duration_seconds" ["model", "version", "stage"]
        "Time that a picture or tensor that was answered spent in a stage; stages that it didn't pass aren't counted.";
    /// Since the model was loaded.
    BATCH_SIZE: Histogram "cenet_batch_size" ["model", "version"]
        "Pictures in a run of the network, canaries among them.";
    /// Of the files that were decoded.
    DECODED_BYTES: Counter "cenet_decoded_bytes_total" ["model", "version"]
        "Bytes of memory that pictures were given for being decoded.";
    /// Known pictures.
    CANARIES: Counter "cenet_canaries_total" ["model", "version", "outcome"]
        "Known pictures that a model was sent to see that it still answers right: ok or failed.";
    /// Before the network.
    QUEUE_LENGTH: Gauge "cenet_queue_length" ["model", "version"]
        "Pictures that wait for the network.";
    /// From admission to answer.
    MODEL_IMAGES: Gauge "cenet_model_images_in_flight" ["model", "version"]
        "Pictures of a model that have been let in and aren't answered yet.";
    /// `--queue-length`.
    MODEL_IMAGES_LIMIT: Gauge "cenet_model_images_limit" ["model", "version"]
        "Pictures of a model that are let in at most.";
    /// In all.
    SERVER_IMAGES: Gauge "cenet_images_in_flight" []
        "Pictures that have been let in and aren't answered yet.";
    /// `--max-images-in-flight`.
    SERVER_IMAGES_LIMIT: Gauge "cenet_images_limit" []
        "Pictures that are let in at most.";
    /// Of the budget.
    MEMORY_USED: Gauge "cenet_memory_used_bytes" []
        "Bytes that request bodies and decoded pictures hold of the memory budget.";
    /// `--memory-budget-mib`.
    MEMORY_LIMIT: Gauge "cenet_memory_limit_bytes" []
        "Bytes of the memory budget.";
    /// 1 for the state that it is in.
    MODEL_STATE: Gauge "cenet_model_state" ["model", "version", "state"]
        "1 for the state that a version is in, 0 for the others: ready, failing, refused.";
    /// Always 1.
    MODEL_INFO: Gauge "cenet_model_info" ["model", "version", "task", "provider"]
        "1; its labels tell the model's task and the execution provider that runs it: tensorrt, cuda or cpu.";
    /// The golden pair included.
    MODEL_LOAD: Gauge "cenet_model_load_duration_seconds" ["model", "version"]
        "Time that loading the model took, its golden pair included.";
    /// Sessions.
    MODEL_INSTANCES: Gauge "cenet_model_instances" ["model", "version"]
        "Sessions of the model that run side by side.";
    /// Seen at load.
    CE_NODES: Gauge "cenet_ce_nodes" ["model", "version", "kernel"]
        "Channel Equilibrium blocks by what was seen to run them at load: the native kernel on ONNX Runtime's blocked layout (blocked), \
         between 8-bit tensors (quantized) or on NCHW (native), or the operator's body.";
    /// As `/readyz`.
    READY: Gauge "cenet_ready" []
        "1 while the server wants traffic, as /readyz says, else 0.";
    /// Always 1.
    BUILD_INFO: Gauge "cenet_build_info" ["version", "instruction_set"]
        "1; its labels tell the program's version and the instructions that the native kernel uses here.";
    /// Of the operating system.
    PROCESS_CPU: Counter "process_cpu_seconds_total" []
        "Total user and system CPU time spent in seconds.";
    /// Of the operating system.
    PROCESS_OPEN_FDS: Gauge "process_open_fds" []
        "Number of open file descriptors.";
    /// Of the operating system.
    PROCESS_MAX_FDS: Gauge "process_max_fds" []
        "Maximum number of open file descriptors.";
    /// Of the operating system.
    PROCESS_VIRTUAL_MEMORY: Gauge "process_virtual_memory_bytes" []
        "Virtual memory size in bytes.";
    /// Of the operating system.
    PROCESS_RESIDENT_MEMORY: Gauge "process_resident_memory_bytes" []
        "Resident memory size in bytes.";
    /// Of the operating system.
    PROCESS_START: Gauge "process_start_time_seconds" []
        "Start time of the process since unix epoch in seconds.";
    /// Of the operating system.
    PROCESS_THREADS: Gauge "process_threads" []
        "Number of OS threads in the process.";
}
