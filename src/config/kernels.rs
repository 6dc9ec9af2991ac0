//! How CE blocks are run.

use std::env;
use std::path::PathBuf;

use ce_op::InstructionSet;

use crate::model::PlanOptions;

/// Whether networks are planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Planning {
    /// CE blocks work on ONNX Runtime's own layout
    On,
    /// Each runs as the file has it
    Off,
}

/// The instructions that the CE kernels use at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Instructions {
    /// 16 numbers at a time
    Avx512,
    /// 8 numbers at a time
    Avx2,
    /// Those of any machine
    Portable,
}

/// How CE blocks are run.
#[derive(Debug, Clone, clap::Args)]
pub struct KernelOptions {
    /// Whether networks with CE blocks are planned at load: the blocks then work on ONNX Runtime's own layout
    #[arg(long, env = "CENET_PLAN", value_name = "WHETHER", default_value = "on")]
    pub plan: Planning,

    /// Folder that plans are kept in [default: cenet-serve in $XDG_CACHE_HOME or ~/.cache]
    #[arg(long, env = "CENET_PLAN_CACHE", value_name = "DIR")]
    pub plan_cache: Option<PathBuf>,

    /// Instructions that the CE kernels use at most, for comparison [default: the best of this machine]
    #[arg(long, env = "CENET_INSTRUCTIONS", value_name = "SET")]
    pub instructions: Option<Instructions>,
}

impl KernelOptions {
    /// The same for the model room.
    pub fn plan_options(&self) -> PlanOptions {
        PlanOptions { enabled: self.plan == Planning::On, cache: self.plan_cache.clone().or_else(default_cache) }
    }

    /// Limits the kernels of this process, if that is asked for.
    pub fn apply(&self) {
        let set = self.instructions.map(|instructions| match instructions {
            Instructions::Avx512 => InstructionSet::Avx512,
            Instructions::Avx2 => InstructionSet::Avx2,
            Instructions::Portable => InstructionSet::Portable,
        });
        if let Some(set) = set {
            set.limit();
        }
    }
}

/// The user's own place for what can be made anew.
fn default_cache() -> Option<PathBuf> {
    let named = |variable| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    caches.map(|folder| folder.join("cenet-serve"))
}
