//! A manifest's options in the words of ONNX Runtime's providers: keys and values.

use crate::manifest::{ArenaGrowth, ConvAlgorithmSearch, CudaOptions, EngineBatches, TensorrtOptions};

/// A provider's options as it takes them.
pub(super) type Settings = Vec<(&'static str, String)>;

/// CUDA's: all of them, so that ONNX Runtime's own defaults may change.
pub(super) fn of_cuda(options: &CudaOptions) -> Settings {
    let growth = match options.arena_growth {
        ArenaGrowth::PowersOfTwo => "kNextPowerOfTwo",
        ArenaGrowth::AsNeeded => "kSameAsRequested",
    };
    let search = match options.conv_algorithm_search {
        ConvAlgorithmSearch::Exhaustive => "EXHAUSTIVE",
        ConvAlgorithmSearch::Heuristic => "HEURISTIC",
        ConvAlgorithmSearch::Default => "DEFAULT",
    };
    let mut settings = vec![
        ("device_id", options.device_id.to_string()),
        ("arena_extend_strategy", growth.into()),
        ("cudnn_conv_algo_search", search.into()),
        ("cudnn_conv_use_max_workspace", flag(options.conv_max_workspace)),
        ("use_tf32", flag(options.tf32)),
        ("prefer_nhwc", flag(options.prefer_nhwc)),
    ];
    settings.extend(options.memory_limit_mib.map(|mib| ("gpu_mem_limit", bytes(mib))));
    settings
}

/// The batches that a network is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batches<'a> {
    /// The network's input.
    pub(super) input: &'a str,
    /// One picture's tensor.
    pub(super) picture: [usize; 3],
    /// Pictures at most.
    pub(super) largest: usize,
}

impl Batches<'_> {
    /// `input:8x3x224x224`
    fn shape(&self, batch: usize) -> String {
        let [first, second, third] = self.picture;
        format!("{}:{batch}x{first}x{second}x{third}", self.input)
    }
}

/// TensorRT's, those of its caches apart.
pub(super) fn of_tensorrt(options: &TensorrtOptions, batches: &Batches<'_>) -> Settings {
    let mut settings = vec![
        ("device_id", options.device_id.to_string()),
        ("trt_fp16_enable", flag(options.fp16)),
        // means and variances overflow float16
        ("trt_layer_norm_fp32_fallback", flag(options.fp16)),
    ];
    settings.extend(options.max_workspace_mib.map(|mib| ("trt_max_workspace_size", bytes(mib))));
    settings.extend(options.optimization_level.map(|level| ("trt_builder_optimization_level", level.to_string())));
    if options.batches == EngineBatches::Profile {
        let optimal = options.optimal_batch.map_or(batches.largest, usize::from);
        settings.extend([
            ("trt_profile_min_shapes", batches.shape(1)),
            ("trt_profile_opt_shapes", batches.shape(optimal)),
            ("trt_profile_max_shapes", batches.shape(batches.largest)),
        ]);
    }
    settings
}

pub(super) fn flag(truth: bool) -> String {
    if truth { "1" } else { "0" }.into()
}

fn bytes(mib: u32) -> String {
    (u64::from(mib) << 20).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(settings: &'a Settings, key: &str) -> Option<&'a str> {
        settings.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str())
    }

    #[test]
    fn cuda_takes_bytes_and_its_own_names() {
        let settings = of_cuda(&CudaOptions {
            device_id: 1,
            memory_limit_mib: Some(4096),
            arena_growth: ArenaGrowth::AsNeeded,
            conv_algorithm_search: ConvAlgorithmSearch::Exhaustive,
            ..CudaOptions::default()
        });
        let expected = [
            ("device_id", "1"),
            ("arena_extend_strategy", "kSameAsRequested"),
            ("cudnn_conv_algo_search", "EXHAUSTIVE"),
            ("cudnn_conv_use_max_workspace", "1"),
            ("use_tf32", "0"),
            ("prefer_nhwc", "0"),
            ("gpu_mem_limit", "4294967296"),
        ];
        assert_eq!(settings, expected.map(|(key, value)| (key, value.to_owned())));
        assert_eq!(find(&of_cuda(&CudaOptions::default()), "gpu_mem_limit"), None, "all there is");
    }

    #[test]
    fn tensorrt_is_told_which_batches_come() {
        let batches = Batches { input: "input", picture: [3, 224, 160], largest: 8 };
        let settings = of_tensorrt(&TensorrtOptions::default(), &batches);
        assert_eq!(find(&settings, "trt_profile_min_shapes"), Some("input:1x3x224x160"));
        assert_eq!(find(&settings, "trt_profile_opt_shapes"), Some("input:8x3x224x160"));
        assert_eq!(find(&settings, "trt_profile_max_shapes"), Some("input:8x3x224x160"));
        assert_eq!(find(&settings, "trt_fp16_enable"), Some("0"));

        let options = TensorrtOptions {
            fp16: true,
            max_workspace_mib: Some(1),
            optimization_level: Some(5),
            optimal_batch: Some(4),
            ..TensorrtOptions::default()
        };
        let settings = of_tensorrt(&options, &batches);
        assert_eq!(find(&settings, "trt_profile_opt_shapes"), Some("input:4x3x224x160"));
        assert_eq!(find(&settings, "trt_fp16_enable"), Some("1"));
        assert_eq!(find(&settings, "trt_layer_norm_fp32_fallback"), Some("1"), "variances stay in float32");
        assert_eq!(find(&settings, "trt_max_workspace_size"), Some("1048576"));
        assert_eq!(find(&settings, "trt_builder_optimization_level"), Some("5"));

        let as_seen = TensorrtOptions { batches: EngineBatches::AsSeen, ..TensorrtOptions::default() };
        assert_eq!(find(&of_tensorrt(&as_seen, &batches), "trt_profile_max_shapes"), None);
    }
}
