//! Which models are served and how they run.

use std::path::PathBuf;

use crate::model::LoadOptions;

/// Which models are served and how they run.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Models")]
pub struct ModelOptions {
    /// Folder that holds the models, each in NAME/VERSION/
    #[arg(long, env = "CENET_MODEL_REPOSITORY", value_name = "DIR", default_value = "models")]
    pub model_repository: PathBuf,

    /// Threads that one inference uses, unless model.toml says; 0 means one a core
    #[arg(long, env = "CENET_INFERENCE_THREADS", value_name = "N", default_value_t = 0)]
    pub inference_threads: usize,

    /// Pictures that may wait for one model; further ones are answered 429
    #[arg(long, env = "CENET_QUEUE_LENGTH", value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub queue_length: u16,
}

impl ModelOptions {
    /// The same for the model room.
    pub fn load_options(&self) -> LoadOptions {
        LoadOptions { threads: self.inference_threads, queue_length: usize::from(self.queue_length) }
    }
}
