//! Keeps what is served like what lies on disk, by looking at it now and then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Repository;
use super::catalog::Catalog;
use super::folder::{Fingerprint, VersionFolder, scan};

type Scan = BTreeMap<VersionFolder, Fingerprint>;

/// Looks at the repository's folder every `interval`, for ever: what is new or changed is loaded, what is gone is unloaded.
pub async fn watch(repository: Arc<Repository>, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut before = Scan::new();
    loop {
        ticks.tick().await;
        let repository = Arc::clone(&repository);
        let looked = tokio::task::spawn_blocking(move || {
            let now = look(&repository, &before);
            now.unwrap_or(before)
        });
        match looked.await {
            Ok(now) => before = now,
            Err(error) => {
                tracing::error!(%error, "the model repository could not be looked at");
                before = Scan::new();
            }
        }
    }
}

/// Compares, and acts on what has come to rest; what was seen, if anything could be.
fn look(repository: &Repository, before: &Scan) -> Option<Scan> {
    let now = scan(repository.root())
        .map_err(|error| tracing::warn!(%error, "the model repository can't be read; what is served stays"))
        .ok()?;
    for change in changes(&repository.catalog(), before, &now) {
        match change {
            // told in the log and the catalog
            Change::Load(folder) => drop(repository.load_folder(&folder)),
            Change::Unload(name, version) => {
                tracing::info!(model = name, version, "model is gone from the repository");
                repository.unload(&name, Some(version));
            }
        }
    }
    Some(now)
}

#[derive(Debug, PartialEq, Eq)]
enum Change {
    Load(VersionFolder),
    Unload(String, u32),
}

/// What differs between `catalog` and the disk, as far as the disk was the same `before` and `now`: what is being written isn't read.
fn changes(catalog: &Catalog, before: &Scan, now: &Scan) -> Vec<Change> {
    let at_rest = now.iter().filter(|(folder, print)| before.get(folder) == Some(print));
    let loads = at_rest.filter(|(folder, print)| {
        catalog.entry(&folder.name, folder.version).is_none_or(|entry| entry.fingerprint != **print)
    });
    let on_disk = |scan: &Scan, name: &str, version: u32| {
        scan.keys().any(|folder| folder.name == name && folder.version == version)
    };
    let gone = catalog
        .entries()
        .filter(|(name, version, _)| !on_disk(before, name, *version) && !on_disk(now, name, *version))
        .map(|(name, version, _)| Change::Unload(name.to_owned(), version));
    loads.map(|(folder, _)| Change::Load(folder.clone())).chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::model::LoadError;

    fn write(root: &Path, version: u32, text: &str) -> VersionFolder {
        let path = root.join("m").join(version.to_string());
        fs::create_dir_all(&path).expect("a folder");
        fs::write(path.join("model.toml"), text).expect("written");
        VersionFolder { name: "m".into(), version, path }
    }

    #[test]
    fn what_is_at_rest_and_unknown_is_loaded_once() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = write(root.path(), 1, "half");
        let half = scan(root.path()).expect("readable");
        let mut catalog = Catalog::default();
        assert_eq!(changes(&catalog, &Scan::new(), &half), [], "just appeared: it may be half written");
        write(root.path(), 1, "half and the other half");
        let whole = scan(root.path()).expect("readable");
        assert_eq!(changes(&catalog, &half, &whole), [], "still being written");
        assert_eq!(changes(&catalog, &whole, &whole), [Change::Load(folder.clone())]);
        let refusal = LoadError::Golden("no".into());
        catalog.put("m", 1, whole[&folder].clone(), Err(&refusal));
        assert_eq!(changes(&catalog, &whole, &whole), [], "refused, and not tried again before it changes");
    }

    #[test]
    fn what_is_gone_is_unloaded() {
        let root = tempfile::tempdir().expect("a folder");
        write(root.path(), 1, "one");
        let folder = write(root.path(), 2, "two");
        let both = scan(root.path()).expect("readable");
        let mut catalog = Catalog::default();
        for (folder, print) in &both {
            catalog.put("m", folder.version, print.clone(), Err(&LoadError::Golden("no".into())));
        }
        fs::remove_dir_all(folder.path).expect("removed");
        let one = scan(root.path()).expect("readable");
        assert_eq!(changes(&catalog, &both, &one), [], "it may be on its way from one place to another");
        assert_eq!(changes(&catalog, &one, &one), [Change::Unload("m".into(), 2)]);
    }
}
