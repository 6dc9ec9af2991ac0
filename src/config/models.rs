//! Which models are served and how they run.

use std::path::PathBuf;
use std::time::Duration;

use super::{KernelOptions, ProviderArguments};
use crate::model::{BatchOptions, InstanceOptions, LoadOptions, RepositoryOptions};

/// What changes the models that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ModelControl {
    /// Nothing: they are those of the start
    None,
    /// The folder: what is new or changed is loaded, what is gone is unloaded
    Poll,
    /// Calls: PUT and DELETE of /v1/models/NAME
    Explicit,
}

/// Which models are served and how they run.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Models")]
pub struct ModelOptions {
    /// Folder that holds the models, each in NAME/VERSION/
    #[arg(long, env = "CENET_MODEL_REPOSITORY", value_name = "DIR", default_value = "models")]
    pub model_repository: PathBuf,

    /// What changes the models that are served: nothing, the folder's contents, or PUT and DELETE of /v1/models/NAME
    #[arg(long, env = "CENET_MODEL_CONTROL", value_name = "MODE", default_value = "none")]
    pub model_control: ModelControl,

    /// Milliseconds between looks at the folder with --model-control poll; a directory is loaded once two looks saw the same
    #[arg(long, env = "CENET_MODEL_POLL_INTERVAL_MS", value_name = "MS", default_value_t = 2_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub model_poll_interval_ms: u64,

    /// Models to load at first, by name [default: all]
    #[arg(long, env = "CENET_LOAD_MODEL", value_name = "NAME", value_delimiter = ',')]
    pub load_model: Vec<String>,

    /// Version that answers when a request names none, where that isn't to be the newest
    #[arg(long, env = "CENET_DEFAULT_VERSION", value_name = "NAME=VERSION", value_delimiter = ',', value_parser = name_and_version)]
    pub default_version: Vec<(String, u32)>,

    /// Models that answer when a request names none of their task [default: the only one of it, or the one whose model.toml says so]
    #[arg(long, env = "CENET_DEFAULT_MODEL", value_name = "NAME", value_delimiter = ',')]
    pub default_model: Vec<String>,

    /// Seconds between canaries, known pictures that a model must still answer as when it was loaded; 0 sends none
    #[arg(long, env = "CENET_CANARY_INTERVAL_S", value_name = "SECONDS", default_value_t = 30)]
    pub canary_interval_s: u64,

    /// Sessions of a model that run side by side, unless model.toml says; 0 chooses by the machine's cores and the model's speed
    #[arg(long, env = "CENET_INSTANCES", value_name = "N", default_value_t = 0)]
    pub instances: u16,

    /// Threads that one inference uses, unless model.toml says; 0 chooses
    #[arg(long, env = "CENET_INFERENCE_THREADS", value_name = "N", default_value_t = 0)]
    pub inference_threads: u16,

    /// Pictures in a batch at most, unless model.toml says; 0 chooses, from 2 to 8, by the model's speed
    #[arg(long, env = "CENET_MAX_BATCH_SIZE", value_name = "N", default_value_t = 0)]
    pub max_batch_size: u16,

    /// Microseconds that a picture waits for others while a session is free, unless model.toml says
    #[arg(long, env = "CENET_QUEUE_DELAY_US", value_name = "US", default_value_t = 0)]
    pub queue_delay_us: u32,

    /// Pictures of one model in flight, unless model.toml says; further ones are answered 429
    #[arg(long, env = "CENET_QUEUE_LENGTH", value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub queue_length: u16,

    /// What runs the networks.
    #[command(flatten)]
    pub providers: ProviderArguments,
    /// How CE blocks are run.
    #[command(flatten)]
    pub kernels: KernelOptions,
}

fn name_and_version(text: &str) -> Result<(String, u32), String> {
    let parts = text.split_once('=').and_then(|(name, version)| Some((name.to_owned(), version.parse().ok()?)));
    parts.ok_or_else(|| format!("{text:?} is not NAME=VERSION"))
}

impl ModelOptions {
    /// The same for the model room.
    pub fn repository_options(&self) -> RepositoryOptions {
        RepositoryOptions {
            root: self.model_repository.clone(),
            load: self.load_options(),
            first: self.load_model.clone(),
            default_versions: self.default_version.iter().cloned().collect(),
            default_models: self.default_model.clone(),
        }
    }

    fn load_options(&self) -> LoadOptions {
        LoadOptions {
            instances: InstanceOptions { count: self.instances.into(), threads: self.inference_threads.into() },
            batching: BatchOptions {
                max_size: self.max_batch_size.into(),
                max_delay: Duration::from_micros(self.queue_delay_us.into()),
            },
            queue_length: self.queue_length.into(),
            providers: self.providers.options(),
            plan: self.kernels.plan_options(),
        }
    }
}
