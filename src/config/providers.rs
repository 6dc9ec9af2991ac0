//! What runs the networks.

use std::path::PathBuf;

use crate::manifest::ProviderOrder;
use crate::model::ProviderOptions;

/// What runs the networks.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Providers")]
pub struct ProviderArguments {
    /// What runs a network, unless model.toml says: tensorrt, cuda, cpu, in the order in which they are tried
    #[arg(long, env = "CENET_PROVIDERS", value_name = "LIST", default_value_t = ProviderOrder::default())]
    pub providers: ProviderOrder,

    /// Refuse a model one of whose providers can't start, instead of trying the next, unless model.toml says
    #[arg(long, env = "CENET_STRICT_PROVIDERS")]
    pub strict_providers: bool,

    /// Folder in which TensorRT keeps the engines that it compiled; without it, it compiles at each load
    #[arg(long, env = "CENET_ENGINE_CACHE", value_name = "DIR")]
    pub engine_cache: Option<PathBuf>,
}

impl ProviderArguments {
    /// The same for the model room.
    pub fn options(&self) -> ProviderOptions {
        ProviderOptions {
            order: self.providers.clone(),
            strict: self.strict_providers,
            engine_cache: self.engine_cache.clone(),
        }
    }
}
