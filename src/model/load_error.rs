//! Why a model can't be served: told to the operator when it is loaded.

use std::path::PathBuf;

use crate::manifest::Provider;

/// What is wrong with a model directory, or with the machine it is loaded on.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A model of the repository can't be served.
    #[error("model {path}: {source}")]
    Model {
        /// Its directory.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<LoadError>,
    },
    /// A file can't be read.
    #[error("can't read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A file isn't one that a model may have.
    #[error("{path} {message}")]
    Files {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// `model.toml` or the labels don't say what they should.
    #[error("{path}: {message}")]
    Manifest {
        /// The file at fault.
        path: PathBuf,
        /// What is wrong and what is expected.
        message: String,
    },
    /// ONNX Runtime's shared library can't be used.
    #[error("ONNX Runtime can't be used: {0}")]
    Runtime(String),
    /// ONNX Runtime refuses the network.
    #[error("ONNX Runtime refuses {path}: {message}")]
    Session {
        /// The ONNX file.
        path: PathBuf,
        /// What ONNX Runtime says.
        message: String,
    },
    /// A provider that must run the network can't.
    #[error("provider {provider} can't be used: {reason}")]
    Provider {
        /// Which.
        provider: Provider,
        /// Why.
        reason: String,
    },
    /// Manifest and network contradict each other.
    #[error("model.toml and the network differ: {0}")]
    Mismatch(String),
    /// The golden pair isn't reproduced.
    #[error("golden pair: {0}")]
    Golden(String),
    /// A network can't be planned; it then runs without a plan.
    #[error("no plan: {0}")]
    Plan(String),
    /// The model repository holds nothing to serve, or what it holds is out of order.
    #[error("model repository {path}: {message}")]
    Repository {
        /// The repository's folder.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

impl LoadError {
    /// Turns an I/O error on `path` into a [`LoadError::Read`].
    pub(super) fn read(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Read { path, source }
    }
}

/// Result of a load's step.
pub type LoadResult<T> = Result<T, LoadError>;
