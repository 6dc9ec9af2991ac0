//! Which provider really got a network's nodes.

use std::collections::BTreeMap;

use ort::session::Session;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Providers, Refusal};
use crate::manifest::Provider;
use crate::model::{LoadError, LoadResult};

/// What runs a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Placement {
    /// The provider that runs it: the first in force that was given nodes.
    pub provider: Provider,
    /// How many nodes each provider was given, by its name, before any were fused.
    #[serde(rename = "provider_nodes")]
    pub nodes: BTreeMap<String, usize>,
    /// Providers that were to run it and couldn't start.
    #[serde(rename = "providers_refused", skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refusal>,
}

impl Default for Placement {
    fn default() -> Self {
        Self { provider: Provider::Cpu, nodes: BTreeMap::new(), refused: Vec::new() }
    }
}

impl Placement {
    /// What `session` was given by the providers in force.
    ///
    /// # Errors
    /// [`LoadError::Runtime`] when ONNX Runtime doesn't tell; as [`Self::new`].
    pub(in crate::model) fn of(session: &Session, providers: &Providers) -> LoadResult<Self> {
        let nodes = ce_op::onnx::assignment(session);
        let nodes = nodes.map_err(|error| LoadError::Runtime(format!("no word on providers: {}", error.message())))?;
        Self::new(nodes, providers)
    }

    /// From nodes by ONNX Runtime's names.
    ///
    /// # Errors
    /// [`LoadError::Provider`] when a strict model's first provider started, but was given nothing to do.
    fn new(nodes: BTreeMap<String, usize>, providers: &Providers) -> LoadResult<Self> {
        let has_nodes = |provider: Provider| nodes.contains_key(provider.runtime_name());
        let in_force = || providers.gpu.iter().map(|(provider, _)| *provider);
        if let Some(idle) = in_force().next().filter(|first| !has_nodes(*first)) {
            let reason = "it starts, but takes none of the network's nodes".to_owned();
            if providers.strict {
                return Err(LoadError::Provider { provider: idle, reason });
            }
            tracing::warn!(provider = %idle, reason, "a provider has nothing to do");
        }
        let provider = in_force().find(|provider| has_nodes(*provider)).unwrap_or(Provider::Cpu);
        let own_name = |name: String| Provider::by_runtime_name(&name).map_or(name, |known| known.name().to_owned());
        let nodes = nodes.into_iter().map(|(name, count)| (own_name(name), count)).collect();
        Ok(Self { provider, nodes, refused: providers.refused.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(names: &[(&str, usize)], strict: bool) -> LoadResult<Placement> {
        let gpu = [Provider::Tensorrt, Provider::Cuda].map(|provider| (provider, Vec::new())).to_vec();
        let nodes = names.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Placement::new(nodes, &Providers { gpu, strict, ..Providers::default() })
    }

    #[test]
    fn the_provider_is_the_first_that_was_given_nodes() {
        let both = [("TensorrtExecutionProvider", 120), ("CPUExecutionProvider", 2)];
        let placement = on(&both, true).expect("TensorRT has work");
        assert_eq!(placement.provider, Provider::Tensorrt);
        assert_eq!(placement.nodes, [("cpu".to_owned(), 2), ("tensorrt".to_owned(), 120)].into());
        let cuda = on(&[("CUDAExecutionProvider", 120)], false).expect("CUDA has work");
        assert_eq!(cuda.provider, Provider::Cuda);
        assert_eq!(on(&[("CPUExecutionProvider", 5)], false).expect("lenient").provider, Provider::Cpu);
    }

    #[test]
    fn a_strict_model_is_refused_when_its_first_provider_has_nothing_to_do() {
        let refusal = on(&[("CUDAExecutionProvider", 120)], true).expect_err("TensorRT has no node").to_string();
        assert!(refusal.contains("tensorrt") && refusal.contains("takes none"), "{refusal}");
    }
}
