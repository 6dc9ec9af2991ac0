//! Who may do what: a request shows a key, and a key has roles. The rule is the same for both faces and knows neither.
//!
//! Keys are kept as SHA-256 hashes alone. A key is 32 random bytes, so that nobody guesses one whose hash they have, and a slow hash, which
//! guards what people choose, would only cost each request its time.

mod key;
mod keys;
mod rate;

use std::sync::{Arc, PoisonError, RwLock};

use key::Key;
pub use key::{Role, new_key};
pub use keys::KeySource;

use crate::error::{ErrorKind, InferError, Result};

/// What may be let open to everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OpenRoute {
    /// Nothing
    None,
    /// Whether the server lives and is ready, over both faces
    Health,
    /// The metrics
    Metrics,
    /// The page, without what it asks the server
    Page,
}

/// Who may do what.
#[derive(Debug)]
pub struct Access {
    open: Vec<OpenRoute>,
    source: KeySource,
    keys: RwLock<Arc<[Key]>>,
}

impl Access {
    /// For the keys of `source`, with `open` for everybody; none where it names no key and no file, and everybody may do everything.
    ///
    /// # Errors
    /// A sentence that names the line that can't be read; also when there is a file but no key at all.
    pub fn of(source: KeySource, open: &[OpenRoute]) -> std::result::Result<Option<Self>, String> {
        if source.is_empty() {
            return Ok(None);
        }
        let keys = RwLock::new(source.read()?.into());
        Ok(Some(Self { open: open.to_vec(), source, keys }))
    }

    /// Whether `route` takes no key.
    pub fn is_open(&self, route: OpenRoute) -> bool {
        self.open.contains(&route)
    }

    /// Lets a request do what takes `role` if `shown` is the key of somebody who has it, and they haven't asked too often. Gives back
    /// whose key it is.
    ///
    /// # Errors
    /// `Unauthenticated` without a key that is known, `RoleMissing`, `RateLimited`.
    pub fn check(&self, shown: Option<&[u8]>, role: Role) -> Result<Arc<str>> {
        let shown = shown.ok_or_else(|| unauthenticated("a key is needed: Authorization: Bearer KEY, or X-API-Key"))?;
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let key = key::find(&keys, shown).ok_or_else(|| unauthenticated("the key is not known"))?;
        if !key.roles.contains(&role) {
            let message = format!("this takes a key with the role {role}; that of {:?} hasn't got it", key.name);
            return Err(InferError::new(ErrorKind::RoleMissing, message));
        }
        if key.rate.as_ref().is_some_and(|rate| !rate.takes_now()) {
            return Err(InferError::new(ErrorKind::RateLimited, "the key is used more often than it may be"));
        }
        Ok(Arc::clone(&key.name))
    }

    /// Takes over the keys of the file whenever it changes, for ever. While it can't be read, the keys are those of before.
    pub async fn follow(&self) {
        let mut changes = self.source.changes();
        loop {
            changes.next().await;
            match self.source.read() {
                Ok(keys) => {
                    tracing::info!(keys = keys.len(), "API keys are in force");
                    *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.into();
                }
                Err(error) => tracing::warn!(error, "API keys can't be read; those of before are in force"),
            }
        }
    }
}

fn unauthenticated(message: &str) -> InferError {
    InferError::new(ErrorKind::Unauthenticated, message)
}
