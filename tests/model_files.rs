//! What a model directory's files may be: of the repository, whatever links lead to them, and no larger than a model's are. Real
//! directories, real networks.

mod support;

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cenet_serve::model::{LoadOptions, Model, ModelDirectory, Repository, RepositoryOptions, watch};
use tempfile::TempDir;

const FILES: [&str; 5] = ["model.toml", "labels.txt", "golden.npz", "golden.png", "model.onnx"];

fn tiny_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models/tiny_ce/1")
}

/// A repository with the tiny model in it, and a folder beside it.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a folder") };
        fs::create_dir_all(place.version()).expect("a folder");
        copy_to(&place.version());
        place
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("models")
    }

    fn version(&self) -> PathBuf {
        self.root().join("tiny/1")
    }

    /// A file outside of the repository, with what `name` has in it.
    fn outside(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join("secret");
        fs::copy(self.version().join(name), &path).expect("copied");
        path
    }

    /// Puts a link to `target` in the place of the file called `name`.
    fn link(&self, name: &str, target: impl AsRef<Path>) {
        let path = self.version().join(name);
        let _ = fs::remove_file(&path);
        symlink(target, path).expect("linked");
    }

    fn load(&self) -> Result<Model, String> {
        Model::load(&self.version(), &LoadOptions::default()).map_err(|error| error.to_string())
    }

    fn refusal(&self) -> String {
        self.load().expect_err("it is refused")
    }
}

fn copy_to(folder: &Path) {
    for name in FILES {
        fs::copy(tiny_model().join(name), folder.join(name)).expect("copied");
    }
}

#[test]
fn links_lead_to_files_of_the_repository_alone() {
    for name in FILES {
        let place = Place::new();
        place.link(name, place.outside(name));
        let told = place.refusal();
        assert!(told.contains(name) && told.ends_with("is a link that leaves the model repository"), "{name}: {told}");
    }
    let place = Place::new();
    let second = place.root().join("tiny/2");
    fs::create_dir(&second).expect("a folder");
    for name in FILES {
        let target = Path::new("../1").join(name);
        symlink(target, second.join(name)).expect("linked");
    }
    Model::load(&second, &LoadOptions::default()).expect("a version may share files with another");
    // in two steps, each of which stays inside or not
    place.link("labels.txt", "by_way");
    symlink(place.outside("golden.png"), place.version().join("by_way")).expect("linked");
    assert!(place.refusal().contains("leaves the model repository"));
    place.link("labels.txt", "labels.txt");
    assert!(place.refusal().starts_with("can't read"), "a link to itself");
    place.link("labels.txt", "nothing");
    assert!(place.refusal().starts_with("can't read"), "a link to nothing");
    place.link("labels.txt", ".");
    assert!(place.refusal().ends_with("is no file"));
}

#[test]
fn the_repository_and_its_folders_may_be_links() {
    let place = Place::new();
    let elsewhere = place.folder.path().join("store/tiny/1");
    fs::create_dir_all(elsewhere.parent().expect("a folder")).expect("a folder");
    fs::rename(place.version(), &elsewhere).expect("moved");
    symlink(&elsewhere, place.version()).expect("linked");
    place.load().expect("the version is a link");
    let root = place.folder.path().join("linked");
    symlink(place.folder.path().join("store"), &root).expect("linked");
    Model::load(&root.join("tiny/1"), &LoadOptions::default()).expect("the root is a link");
}

/// As Kubernetes mounts a ConfigMap: files are links into a folder that a link names, and that link is replaced whole.
#[tokio::test]
async fn a_folder_behind_a_link_is_swapped_under_way() {
    let place = Place::new();
    let version = place.version();
    let fill = |name: &str, label: &str| {
        let folder = version.join(name);
        fs::create_dir(&folder).expect("a folder");
        copy_to(&folder);
        let labels = fs::read_to_string(folder.join("labels.txt")).expect("text");
        let first = labels.lines().next().expect("a label").to_owned();
        fs::write(folder.join("labels.txt"), labels.replacen(&first, label, 1)).expect("written");
    };
    fill("..first", "before");
    symlink("..first", version.join("..data")).expect("linked");
    FILES.iter().for_each(|name| place.link(name, Path::new("..data").join(name)));
    let options = RepositoryOptions { root: place.root(), ..RepositoryOptions::default() };
    let models = Arc::new(Repository::open(options).expect("readable"));
    let label = || {
        let catalog = models.catalog();
        let model = catalog.find(cenet_serve::manifest::Task::Classify, None, None).expect("served");
        model.directory.labels[0].clone()
    };
    assert_eq!(label(), "before");
    let watching = tokio::spawn(watch(Arc::clone(&models), Duration::from_millis(5)));
    fill("..second", "afterwards");
    symlink("..second", version.join("..data_tmp")).expect("linked");
    fs::rename(version.join("..data_tmp"), version.join("..data")).expect("replaced");
    while label() != "afterwards" {
        tokio::task::yield_now().await;
    }
    watching.abort();
}

/// A protobuf field that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).ok().filter(|length| *length < 128).expect("a short field");
    [&[number << 3 | 2, length], bytes].concat()
}

/// Gives the network another tensor of two numbers, which lies at `location`.
fn keep_elsewhere(version: &Path, location: &str, offset: &str) {
    let entry = |key: &str, value: &str| field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
    let numbers = [0x08, 2, 0x10, 1];
    let place = [entry("location", location), entry("offset", offset), entry("length", "8")].concat();
    let tensor = [&numbers[..], &field(8, b"unused"), &place, &[14 << 3, 1]].concat();
    let path = version.join("model.onnx");
    let mut model = fs::read(tiny_model().join("model.onnx")).expect("a file");
    // a second graph is merged with the first
    model.extend(field(7, &field(5, &tensor)));
    fs::write(path, model).expect("written");
}

#[test]
fn tensors_lie_below_the_models_own_directory() {
    let place = Place::new();
    let version = place.version();
    fs::create_dir(version.join("weights")).expect("a folder");
    fs::write(version.join("weights/part"), [0; 16]).expect("written");
    keep_elsewhere(&version, "weights/part", "8");
    place.load().expect("sixteen bytes are enough");
    keep_elsewhere(&version, "weights/part", "9");
    assert!(place.refusal().contains("reach beyond its end"));
    keep_elsewhere(&version, "weights/part", "18446744073709551615");
    assert!(place.refusal().contains("reach beyond its end"));
    keep_elsewhere(&version, "weights/part", "-1");
    assert!(place.refusal().contains("is no ONNX file"));
    let secret = place.outside("golden.npz");
    let absolute = secret.to_str().expect("text").to_owned();
    for location in [&absolute, "../../../secret", "weights/../../2/part", "./weights/part", "", "/dev/zero"] {
        keep_elsewhere(&version, location, "0");
        let told = place.refusal();
        assert!(told.contains("isn't below its own directory"), "{location}: {told}");
    }
    for location in ["file:///etc/hostname", "absent", "weights\\part"] {
        keep_elsewhere(&version, location, "0");
        assert!(place.refusal().starts_with("can't read"), "{location}: names no file");
    }
    keep_elsewhere(&version, "weights", "0");
    assert!(place.refusal().ends_with("is no file"));
    symlink(&secret, version.join("link")).expect("linked");
    keep_elsewhere(&version, "link", "0");
    assert!(place.refusal().contains("leaves the model repository"));
}

/// Makes the file called `name` `bytes` long, without writing them.
fn lengthen(place: &Place, name: &str, bytes: u64) {
    let file = File::options().write(true).open(place.version().join(name)).expect("a file");
    file.set_len(bytes).expect("lengthened");
}

#[test]
fn files_are_no_larger_than_a_models() {
    for (name, most) in [
        ("model.toml", 1_u64 << 20),
        ("labels.txt", 16 << 20),
        ("golden.npz", 256 << 20),
        ("golden.png", 256 << 20),
        ("model.onnx", (1 << 31) - 1),
    ] {
        let place = Place::new();
        let too_large = format!("has more than {most} bytes");
        let told = || ModelDirectory::read(&place.version()).err().map(|error| error.to_string()).unwrap_or_default();
        lengthen(&place, name, most);
        assert!(!told().contains(&too_large), "{name}: {}", told());
        lengthen(&place, name, most + 1);
        assert!(told().contains(&too_large), "{name}: {}", told());
    }
    let place = Place::new();
    File::create(place.version().join("weights")).expect("a file");
    keep_elsewhere(&place.version(), "weights", "0");
    lengthen(&place, "weights", 16 << 30);
    place.load().expect("as large as weights may be");
    lengthen(&place, "weights", (16 << 30) + 1);
    assert!(place.refusal().contains("has more than"));
}

/// An archive with one stored or compressed file.
fn archive(path: &Path, name: &str, bytes: &[u8]) {
    let mut archive = zip::ZipWriter::new(File::create(path).expect("a file"));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    archive.start_file(name, options).expect("begun");
    std::io::Write::write_all(&mut archive, bytes).expect("written");
    archive.finish().expect("an archive");
}

#[test]
fn arrays_are_what_they_say_and_no_larger_than_allowed() {
    let place = Place::new();
    let input = ModelDirectory::read(&place.version()).expect("a directory").manifest.preprocess.input;
    let (path, name) = (place.version().join("golden.npz"), format!("{input}.npy"));
    let header = |shape: &str| {
        let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
        let text = format!("{text:117}\n");
        [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat()
    };
    archive(&path, &name, &header("(1000000000000,)"));
    assert!(place.refusal().starts_with("golden pair: array"), "{}", place.refusal());
    archive(&path, &name, &header("(4294967296, 4294967296, 4294967296)"));
    assert!(place.refusal().starts_with("golden pair: array"), "{}", place.refusal());
    // what is packed to a quarter of a megabyte
    let mut bomb = header("(67108865,)");
    bomb.resize(bomb.len() + (256 << 20) + 4, 0);
    archive(&path, &name, &bomb);
    assert!(place.refusal().ends_with("it has more than 268435456 bytes"), "{}", place.refusal());
}
