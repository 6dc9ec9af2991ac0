//! Where TensorRT keeps what it compiled. It names an engine by the ONNX file's name and the graph's shape, not by the weights:
//! of two versions of a model the second would be answered by the first's engine. So each network has a folder of its own, named by its
//! contents and by the options that it was compiled with.

use std::fs;
use std::io;
use std::path::Path;

use super::settings::{Settings, flag};
use crate::manifest::TensorrtOptions;

/// Makes the folders below `root` that `options` ask for, and says where they are in TensorRT's words.
///
/// # Errors
/// When the network can't be read or a folder can't be made.
pub(super) fn settings(
    root: &Path,
    options: &TensorrtOptions,
    network: &Path,
    compiled_with: &Settings,
) -> io::Result<Settings> {
    let mut settings = Settings::new();
    if options.engine_cache {
        let folder = made(&root.join("engines").join(key(network, compiled_with)?))?;
        settings.extend([("trt_engine_cache_enable", flag(true)), ("trt_engine_cache_path", folder)]);
    }
    if options.timing_cache {
        let folder = made(&root.join("timings"))?;
        settings.extend([("trt_timing_cache_enable", flag(true)), ("trt_timing_cache_path", folder)]);
    }
    Ok(settings)
}

fn key(network: &Path, compiled_with: &Settings) -> io::Result<String> {
    let mut hash = blake3::Hasher::new();
    hash.update(&fs::read(network)?);
    for (name, value) in compiled_with {
        hash.update(format!("{name}={value}\n").as_bytes());
    }
    Ok(hash.finalize().to_hex()[..32].to_owned())
}

fn made(folder: &Path) -> io::Result<String> {
    fs::create_dir_all(folder)?;
    Ok(folder.canonicalize()?.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_differs_in_its_weights_alone_has_another_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [first, second] = ["1", "2"].map(|version| folder.path().join(version).join("model.onnx"));
        for (path, weights) in [(&first, "weights"), (&second, "Weights")] {
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, weights).expect("written");
        }
        let root = folder.path().join("cache");
        let engines = |network: &Path, with: &Settings| {
            let settings = settings(&root, &TensorrtOptions::default(), network, with).expect("made");
            let (_, path) = settings.into_iter().find(|(key, _)| *key == "trt_engine_cache_path").expect("asked for");
            assert!(Path::new(&path).is_dir());
            path
        };
        let plain = vec![("trt_fp16_enable", flag(false))];
        assert_eq!(engines(&first, &plain), engines(&first, &plain), "found again");
        assert_ne!(engines(&first, &plain), engines(&second, &plain));
        assert_ne!(engines(&first, &plain), engines(&first, &vec![("trt_fp16_enable", flag(true))]));
    }

    #[test]
    fn what_is_not_to_be_kept_has_no_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = TensorrtOptions { engine_cache: false, timing_cache: false, ..TensorrtOptions::default() };
        let settings = settings(folder.path(), &options, Path::new("absent"), &Settings::new()).expect("nothing to do");
        assert!(settings.is_empty());
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0);
    }
}
