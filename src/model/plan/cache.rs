//! Plans on disk: one file each, under a name that tells what it was made of, with a checksum over all of it.
//!
//! A file appears whole or not at all. One that isn't what was written, because the disk was full, the machine stopped, or somebody
//! changed it, is not believed, and written anew.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use blake3::Hash;

use super::{Coverage, Plan};

/// Changes when what a plan file holds, or the rewriting, does.
const FORMAT: &str = "cenet-serve plan 2";

const EXTENSION: &str = "plan";

/// Plans that are kept; of more, those that were written longest ago go.
const KEPT: usize = 32;

/// What a plan is made of: the network, the runtime, the processor and this program.
///
/// # Errors
/// When the network's file can't be read.
pub(super) fn key(model: &Path) -> io::Result<Hash> {
    let mut hasher = blake3::Hasher::new();
    let features = processor_features().join(" ");
    for part in [FORMAT, env!("CARGO_PKG_VERSION"), ort::info(), std::env::consts::ARCH, &features] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    Ok(hasher.update_mmap_rayon(model)?.finalize())
}

/// Those of the processor's instructions that the runtime chooses its layout and kernels by.
fn processor_features() -> Vec<&'static str> {
    let mut features = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! add {
            ($($feature:tt),*) => { $(if is_x86_feature_detected!($feature) { features.push($feature); })* };
        }
        add!("sse4.1", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni", "avxvnni");
    }
    features
}

/// The file of the plan with this key.
pub(super) fn path(folder: &Path, key: &Hash) -> PathBuf {
    folder.join(key.to_hex().as_str()).with_extension(EXTENSION)
}

/// The plan in the file at `path`, if it is there and whole.
pub(super) fn read(path: &Path) -> Option<Plan> {
    let bytes = fs::read(path).ok()?;
    let plan = parse(&bytes);
    if plan.is_none() {
        tracing::warn!(path = %path.display(), "the plan on disk is damaged; it is made anew");
    }
    plan
}

/// Checksum, then the coverage in JSON and a line's end, then the network.
pub(super) fn parse(bytes: &[u8]) -> Option<Plan> {
    let (sum, rest) = bytes.split_first_chunk::<{ blake3::OUT_LEN }>()?;
    if checksum(rest) != Hash::from_bytes(*sum) {
        return None;
    }
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let coverage: Coverage = serde_json::from_slice(&rest[..end]).ok()?;
    Some(Plan { coverage, network: rest[end + 1..].into() })
}

/// Of all that follows it in a plan's file.
pub(super) fn checksum(rest: &[u8]) -> Hash {
    blake3::Hasher::new().update_rayon(rest).finalize()
}

/// Writes `plan` to `path`.
///
/// # Errors
/// When the folder can't be made or written to.
pub(super) fn write(path: &Path, plan: &Plan) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut head = serde_json::to_vec(&plan.coverage)?;
    head.push(b'\n');
    let sum = blake3::Hasher::new().update(&head).update_rayon(&plan.network).finalize();
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    for part in [&sum.as_bytes()[..], &head, &plan.network] {
        file.write_all(part)?;
    }
    file.as_file().sync_all()?;
    file.persist(path)?;
    remove_oldest(folder);
    Ok(())
}

/// Others may do the same at the same time: what is gone already is no mistake.
fn remove_oldest(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut plans: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION))
        .map(|path| (fs::metadata(&path).and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::now()), path))
        .collect();
    plans.sort();
    let excess = plans.len().saturating_sub(KEPT);
    for (_, path) in &plans[..excess] {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(network: &[u8]) -> Plan {
        Plan {
            coverage: Coverage { blocked: 3, quantized: 0, with_add: 2, with_relu: 3, plain: 1 },
            network: network.into(),
        }
    }

    /// The key of a network of these bytes.
    fn key_of(network: &[u8]) -> Hash {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(network).expect("written");
        key(file.path()).expect("readable")
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = path(&folder.path().join("made/when/needed"), &key_of(b"a network"));
        assert_eq!(read(&path), None);
        let plan = plan(b"a network\nrewritten");
        write(&path, &plan).expect("written");
        assert_eq!(read(&path), Some(plan));
        let names: Vec<_> = fs::read_dir(path.parent().expect("a folder")).expect("readable").collect();
        assert_eq!(names.len(), 1, "nothing else is left behind");
    }

    #[test]
    fn what_is_damaged_is_not_believed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = path(folder.path(), &key_of(b"a network"));
        write(&path, &plan(b"a network, rewritten")).expect("written");
        let whole = fs::read(&path).expect("readable");
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).expect("written");
            assert_eq!(read(&path), None, "{length} bytes of {}", whole.len());
        }
        for position in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[position] ^= 1;
            fs::write(&path, &damaged).expect("written");
            assert_eq!(read(&path), None, "byte {position}");
        }
    }

    #[test]
    fn the_key_is_the_networks() {
        assert_eq!(key_of(b"a network"), key_of(b"a network"));
        assert_ne!(key_of(b"a network"), key_of(b"another"));
    }

    #[test]
    fn no_more_plans_are_kept_than_are_needed() {
        let folder = tempfile::tempdir().expect("a folder");
        for number in 0..=KEPT {
            let path = path(folder.path(), &key_of(&number.to_le_bytes()));
            write(&path, &plan(b"a network")).expect("written");
        }
        fs::write(folder.path().join("note.txt"), "not ours").expect("written");
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), KEPT + 1);
        let newest = path(folder.path(), &key_of(&KEPT.to_le_bytes()));
        assert!(newest.exists());
    }
}
