//! Plans on disk: one file each, under a name that tells what it was made of, with a checksum over all of it.
//!
//! A file appears whole or not at all. One that isn't what was written, because the disk was full, the machine stopped, or somebody
//! changed it, is not believed, and written anew.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use blake3::Hash;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use super::weights::{Layout, Split, Weight};
use super::{Coverage, Plan};

/// Changes when what a plan file holds, or the rewriting, does.
const FORMAT: &str = "cenet-serve plan 8";

const EXTENSION: &str = "plan";

/// Plans that are kept; of more, those that were written longest ago go.
const KEPT: usize = 32;

/// Weights are read and summed up by so much at a time.
const CHUNK_BYTES: usize = 256 << 10;

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

/// What a plan file says of itself, in JSON, behind the length and the checksum of this head.
#[derive(Serialize, Deserialize)]
struct Head {
    coverage: Coverage,
    graph: Part,
    /// In the order in which they follow the graph.
    weights: Vec<(String, Layout, Part)>,
}

/// A checksum finds what a disk has lost or turned. It is none of a cryptographic hash: who may write the file may write another checksum too.
type Sum = [u8; size_of::<u128>()];

pub(super) fn sum(bytes: &[u8]) -> Sum {
    XxHash3_128::oneshot(bytes).to_le_bytes()
}

/// How many bytes of the file belong together, and their checksum.
#[derive(Serialize, Deserialize)]
struct Part {
    bytes: usize,
    sum: Sum,
}

/// Where the head begins.
const HEAD: usize = size_of::<u64>() + size_of::<Sum>();

/// The plan in the file at `path`, if it is there and whole.
pub(super) fn read(path: &Path) -> Option<Plan> {
    let file = File::open(path).ok()?;
    match parse(&file) {
        Ok(plan) => Some(plan),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the plan on disk is damaged; it is made anew");
            None
        }
    }
}

pub(super) fn parse(file: &File) -> io::Result<Plan> {
    let length = file.metadata()?.len();
    let mut start = [0; HEAD];
    file.read_exact_at(&mut start, 0)?;
    let (bytes, sum) = start.split_first_chunk().ok_or_else(damaged)?;
    let head = Part { bytes: u64::from_le_bytes(*bytes) as usize, sum: sum.try_into().map_err(|_| damaged())? };
    let mut place = HEAD as u64;
    let Head { coverage, graph, weights } = serde_json::from_slice(&head.take(file, &mut place, length)?)?;
    let graph = graph.take(file, &mut place, length)?.into();
    let mut placed = Vec::new();
    for (name, layout, part) in weights {
        if layout.bytes() != Some(part.bytes) {
            return Err(damaged());
        }
        placed.push((name, layout, place, part.pass(&mut place, length)?));
    }
    if place != length {
        return Err(damaged());
    }
    let weights = placed
        .into_par_iter()
        .map(|(name, layout, start, part)| Weight::read(name, layout, |target| part.read(file, start, target)))
        .collect::<io::Result<Arc<[_]>>>()?;
    Ok(Plan { coverage, network: Split { graph, weights } })
}

impl Part {
    fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len(), sum: sum(bytes) }
    }

    /// Moves `place` behind this part.
    fn pass(self, place: &mut u64, length: u64) -> io::Result<Self> {
        *place = place.checked_add(self.bytes as u64).filter(|place| *place <= length).ok_or_else(damaged)?;
        Ok(self)
    }

    /// The bytes at `place`, which is moved behind them.
    fn take(self, file: &File, place: &mut u64, length: u64) -> io::Result<Vec<u8>> {
        let start = *place;
        let part = self.pass(place, length)?;
        let mut bytes = vec![0; part.bytes];
        part.read(file, start, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads the bytes at `start`.
    fn read(&self, file: &File, start: u64, target: &mut [u8]) -> io::Result<()> {
        let mut hasher = XxHash3_128::new();
        let mut place = start;
        // what was read just now is still in the processor's cache
        for chunk in target.chunks_mut(CHUNK_BYTES) {
            file.read_exact_at(chunk, place)?;
            place += chunk.len() as u64;
            hasher.write(chunk);
        }
        if hasher.finish_128().to_le_bytes() == self.sum { Ok(()) } else { Err(damaged()) }
    }
}

fn damaged() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "it isn't what was written")
}

/// Writes `plan` to `path`.
///
/// # Errors
/// When the folder can't be made or written to.
pub(super) fn write(path: &Path, plan: &Plan) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let Split { graph, weights } = &plan.network;
    let bytes = weights.iter().map(Weight::bytes).collect::<io::Result<Vec<_>>>()?;
    let parts =
        weights.iter().zip(&bytes).map(|(weight, bytes)| (weight.name.clone(), weight.layout.clone(), Part::of(bytes)));
    let head = Head { coverage: plan.coverage, graph: Part::of(graph), weights: parts.collect() };
    let head = serde_json::to_vec(&head)?;
    let (length, sum) = ((head.len() as u64).to_le_bytes(), Part::of(&head).sum);
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    for part in [&length[..], &sum, &head, graph].into_iter().chain(bytes) {
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
    use crate::model::onnx::tensor_proto::DataType;
    use crate::model::onnx::{GraphProto, ModelProto, TensorProto};
    use crate::model::runtime;

    /// A plan with this graph and weights of each kind.
    fn plan(graph: &[u8]) -> Plan {
        runtime::environment().expect("the runtime");
        let tensor = |name: &str, r#type: DataType, bytes: usize, size: i64| TensorProto {
            name: Some(name.into()),
            data_type: Some(r#type as i32),
            dims: vec![2, size],
            raw_data: Some((0..bytes).map(|index| index as u8).collect()),
            ..TensorProto::default()
        };
        let initializer = vec![
            tensor("numbers", DataType::Float, 2048, 256),
            tensor("steps", DataType::Int8, 1024, 512),
            tensor("a few", DataType::Float, 16, 2),
            tensor("counts", DataType::Uint8, 1024, 512),
        ];
        let model =
            ModelProto { graph: Some(GraphProto { initializer, ..GraphProto::default() }), ..ModelProto::default() };
        let weights = Split::of(model).expect("weights").weights;
        let coverage = Coverage {
            blocked: 3,
            quantized: 0,
            with_add: 2,
            with_relu: 3,
            with_convolution: 1,
            plain: 1,
            convolutions: 3,
            winograd: 2,
        };
        Plan { coverage, network: Split { graph: graph.into(), weights } }
    }

    /// A weight's name, layout and numbers.
    type Told<'a> = (&'a str, &'a Layout, &'a [u8]);

    fn told(weight: &Weight) -> Told<'_> {
        (&weight.name, &weight.layout, weight.bytes().expect("numbers"))
    }

    /// All that a plan says.
    fn contents(plan: &Plan) -> (Coverage, &[u8], Vec<Told<'_>>) {
        (plan.coverage, &plan.network.graph, plan.network.weights.iter().map(told).collect())
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
        assert!(read(&path).is_none());
        let plan = plan(b"a network\nrewritten");
        assert_eq!(plan.network.weights.len(), 3, "what is small stays in the graph");
        write(&path, &plan).expect("written");
        assert_eq!(contents(&read(&path).expect("a plan")), contents(&plan));
        let names: Vec<_> = fs::read_dir(path.parent().expect("a folder")).expect("readable").collect();
        assert_eq!(names.len(), 1, "nothing else is left behind");
    }

    #[test]
    fn what_is_damaged_is_not_believed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = path(folder.path(), &key_of(b"a network"));
        let mut plan = plan(b"a network, rewritten");
        plan.network.weights = plan.network.weights[..1].into();
        write(&path, &plan).expect("written");
        let whole = fs::read(&path).expect("readable");
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).expect("written");
            assert!(read(&path).is_none(), "{length} bytes of {}", whole.len());
        }
        for position in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[position] ^= 1;
            fs::write(&path, &damaged).expect("written");
            assert!(read(&path).is_none(), "byte {position}");
        }
        fs::write(&path, [&whole[..], b"more"].concat()).expect("written");
        assert!(read(&path).is_none(), "more than was written");
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
