//! How a model's sessions run, and on what: pure data. docs/gpu.md tells what each option does.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the sessions run; 0 lets the server choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Runtime {
    /// Sessions that run side by side, each with its own threads.
    pub instances: u16,
    /// Threads that one inference uses.
    pub threads: u16,
    /// Whether the CE blocks are planned for this machine, where the CPU runs them.
    pub plan: bool,
    /// What runs the network, the first that starts; as the server's options say where it is left out.
    pub providers: Option<ProviderOrder>,
    /// Whether a provider that can't start is a reason not to serve the model; as the server's options say where it is left out.
    pub strict_providers: Option<bool>,
    /// How CUDA runs it.
    pub cuda: CudaOptions,
    /// How TensorRT runs it.
    pub tensorrt: TensorrtOptions,
}

impl Default for Runtime {
    fn default() -> Self {
        Self {
            instances: 0,
            threads: 0,
            plan: true,
            providers: None,
            strict_providers: None,
            cuda: CudaOptions::default(),
            tensorrt: TensorrtOptions::default(),
        }
    }
}

impl Runtime {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.cuda.device_id != self.tensorrt.device_id {
            return Err(
                "runtime.cuda.device_id and runtime.tensorrt.device_id differ: a model runs on one device".into()
            );
        }
        if self.cuda.memory_limit_mib == Some(0) {
            return Err("runtime.cuda.memory_limit_mib must be at least 1".into());
        }
        self.tensorrt.check()
    }
}

/// What can run a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// NVIDIA's TensorRT, which compiles the network for the GPU.
    Tensorrt,
    /// CUDA's kernels, node by node.
    Cuda,
    /// ONNX Runtime's own kernels, and this project's for Channel Equilibrium.
    Cpu,
}

impl Provider {
    const ALL: [Self; 3] = [Self::Tensorrt, Self::Cuda, Self::Cpu];

    /// Its name in manifests, options, answers and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tensorrt => "tensorrt",
            Self::Cuda => "cuda",
            Self::Cpu => "cpu",
        }
    }

    /// Its name in ONNX Runtime.
    pub fn runtime_name(self) -> &'static str {
        match self {
            Self::Tensorrt => "TensorrtExecutionProvider",
            Self::Cuda => "CUDAExecutionProvider",
            Self::Cpu => "CPUExecutionProvider",
        }
    }

    /// The provider that ONNX Runtime calls so.
    pub fn by_runtime_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.runtime_name() == name)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Provider {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|provider| provider.name() == name);
        found.ok_or_else(|| format!("{name:?} is no provider; the providers are tensorrt, cuda and cpu"))
    }
}

/// Providers in the order in which they are tried: at least one, each once, the CPU last if at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Provider>", into = "Vec<Provider>")]
pub struct ProviderOrder(Vec<Provider>);

impl ProviderOrder {
    /// The providers, the first to be tried first.
    pub fn as_slice(&self) -> &[Provider] {
        &self.0
    }
}

impl Default for ProviderOrder {
    fn default() -> Self {
        Self(vec![Provider::Cpu])
    }
}

impl TryFrom<Vec<Provider>> for ProviderOrder {
    type Error = String;

    fn try_from(providers: Vec<Provider>) -> Result<Self, String> {
        if providers.is_empty() {
            return Err("providers must name at least one of tensorrt, cuda and cpu".into());
        }
        let again = providers.iter().enumerate().find(|(place, provider)| providers[..*place].contains(provider));
        if let Some((_, provider)) = again {
            return Err(format!("providers names {provider} twice"));
        }
        if providers.iter().rev().skip(1).any(|provider| *provider == Provider::Cpu) {
            return Err("providers must name cpu last: it starts always, so what follows is never tried".into());
        }
        Ok(Self(providers))
    }
}

impl From<ProviderOrder> for Vec<Provider> {
    fn from(order: ProviderOrder) -> Self {
        order.0
    }
}

impl FromStr for ProviderOrder {
    type Err = String;

    fn from_str(names: &str) -> Result<Self, String> {
        let providers = names.split(',').map(|name| name.trim().parse()).collect::<Result<Vec<_>, _>>()?;
        providers.try_into()
    }
}

impl fmt::Display for ProviderOrder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.iter().map(|provider| provider.name()).collect::<Vec<_>>().join(","))
    }
}

/// How CUDA runs a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CudaOptions {
    /// Which GPU, counted as CUDA does.
    pub device_id: u16,
    /// MiB of the GPU's memory that a session's arena takes at most; all there is where it is left out.
    pub memory_limit_mib: Option<u32>,
    /// How the arena grows.
    pub arena_growth: ArenaGrowth,
    /// How cuDNN's algorithm for a convolution is found.
    pub conv_algorithm_search: ConvAlgorithmSearch,
    /// Whether that search, and what it finds, may take as much scratch memory as it likes.
    pub conv_max_workspace: bool,
    /// Whether convolutions and products may round their factors to TensorFloat-32.
    pub tf32: bool,
    /// Whether convolutions run channels last.
    pub prefer_nhwc: bool,
    /// Whether CE blocks run by this project's own kernel in place of the operator's body.
    pub ce_kernel: bool,
}

impl Default for CudaOptions {
    fn default() -> Self {
        Self {
            device_id: 0,
            memory_limit_mib: None,
            arena_growth: ArenaGrowth::PowersOfTwo,
            conv_algorithm_search: ConvAlgorithmSearch::Heuristic,
            conv_max_workspace: true,
            tf32: false,
            prefer_nhwc: false,
            ce_kernel: false,
        }
    }
}

/// How the arena of a GPU's memory grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArenaGrowth {
    /// By doubling: few requests to the device.
    PowersOfTwo,
    /// By what is needed: no more than that is held.
    AsNeeded,
}

/// How cuDNN's algorithm for a convolution is found, anew for each shape, so for each size of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConvAlgorithmSearch {
    /// All are tried and timed.
    Exhaustive,
    /// cuDNN's heuristic says.
    Heuristic,
    /// Always the same one.
    Default,
}

/// How TensorRT compiles and runs a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TensorrtOptions {
    /// Which GPU, counted as CUDA does.
    pub device_id: u16,
    /// Whether layers may compute in float16.
    pub fp16: bool,
    /// MiB of scratch memory that a layer may take at most; TensorRT's own limit where it is left out.
    pub max_workspace_mib: Option<u32>,
    /// How long TensorRT looks for fast kernels, 0 to 5; its own default where it is left out.
    pub optimization_level: Option<u8>,
    /// Whether compiled engines are kept, where the server has a folder for them.
    pub engine_cache: bool,
    /// Whether timings of kernels are kept there, too, for all models.
    pub timing_cache: bool,
    /// For which sizes of batches an engine is made.
    pub batches: EngineBatches,
    /// The size that it is made fast for; the model's largest where it is left out.
    pub optimal_batch: Option<u16>,
}

impl Default for TensorrtOptions {
    fn default() -> Self {
        Self {
            device_id: 0,
            fp16: false,
            max_workspace_mib: None,
            optimization_level: None,
            engine_cache: true,
            timing_cache: true,
            batches: EngineBatches::Profile,
            optimal_batch: None,
        }
    }
}

impl TensorrtOptions {
    fn check(&self) -> Result<(), String> {
        if self.max_workspace_mib == Some(0) {
            return Err("runtime.tensorrt.max_workspace_mib must be at least 1".into());
        }
        if self.optimization_level.is_some_and(|level| level > 5) {
            return Err("runtime.tensorrt.optimization_level must be from 0 to 5".into());
        }
        if self.optimal_batch == Some(0) {
            return Err("runtime.tensorrt.optimal_batch must be at least 1".into());
        }
        if self.optimal_batch.is_some() && self.batches == EngineBatches::AsSeen {
            return Err("runtime.tensorrt.optimal_batch has no meaning with batches = \"as_seen\"".into());
        }
        Ok(())
    }
}

/// For which sizes of batches TensorRT makes an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineBatches {
    /// One engine for all sizes from 1 to the model's largest, made at load.
    Profile,
    /// For those that come: a size that is new makes the engine anew while requests wait.
    AsSeen,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Runtime, String> {
        let runtime: Runtime = toml::from_str(text).map_err(|error| error.to_string())?;
        runtime.check()?;
        Ok(runtime)
    }

    #[test]
    fn every_option_can_be_written() {
        let text = r#"
            providers = ["tensorrt", "cuda", "cpu"]
            strict_providers = true
            [cuda]
            device_id = 1
            memory_limit_mib = 2048
            arena_growth = "as_needed"
            conv_algorithm_search = "exhaustive"
            conv_max_workspace = false
            tf32 = true
            prefer_nhwc = true
            ce_kernel = true
            [tensorrt]
            device_id = 1
            fp16 = true
            max_workspace_mib = 1024
            optimization_level = 5
            engine_cache = false
            timing_cache = false
            batches = "profile"
            optimal_batch = 4
        "#;
        let runtime = parse(text).expect("a good table");
        let order = runtime.providers.as_ref().expect("named");
        assert_eq!(order.as_slice(), [Provider::Tensorrt, Provider::Cuda, Provider::Cpu]);
        assert_eq!(order.to_string().parse(), Ok(order.clone()), "as on the command line");
        assert_eq!(runtime.tensorrt.optimal_batch, Some(4));
        assert_eq!(parse(&toml::to_string(&runtime).expect("TOML")), Ok(runtime), "reads what it writes");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let cases = [
            ("providers = []", "at least one"),
            ("providers = ['cpu', 'cuda']", "cpu last"),
            ("providers = ['cuda', 'cuda']", "cuda twice"),
            ("providers = ['rocm']", "rocm"),
            ("[cuda]\nmemory_limit = 5", "memory_limit"),
            ("[cuda]\nmemory_limit_mib = 0", "memory_limit_mib"),
            ("[cuda]\ndevice_id = 1", "one device"),
            ("[cuda]\nconv_algorithm_search = 'best'", "best"),
            ("[tensorrt]\nfp8 = true", "fp8"),
            ("[tensorrt]\noptimization_level = 6", "0 to 5"),
            ("[tensorrt]\nmax_workspace_mib = 0", "max_workspace_mib"),
            ("[tensorrt]\noptimal_batch = 0", "at least 1"),
            ("[tensorrt]\nbatches = 'as_seen'\noptimal_batch = 1", "as_seen"),
        ];
        for (text, expected) in cases {
            let message = parse(text).expect_err(text);
            assert!(message.contains(expected), "{text}: {message}");
        }
        assert!("cuda,gpu".parse::<ProviderOrder>().expect_err("no provider").contains("gpu"));
    }
}
