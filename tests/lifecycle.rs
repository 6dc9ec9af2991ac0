//! Models that come, change, go bad and go while the server runs. Real directories, real networks.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use cenet_serve::infer::Engine;
use cenet_serve::model::{Repository, RepositoryOptions, watch};
use cenet_serve::serve::{AppState, app};
use serde_json::{Value, json};
use support::{Reply, blue_png, get, limits, post, send};
use tempfile::TempDir;

fn tiny_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models/tiny_ce/1")
}

/// Copies the tiny model to `name/version` below `root`, changed by `change` before it is moved into its place.
fn put(root: &Path, name: &str, version: u32, change: impl FnOnce(&Path)) {
    let staging = root.join(".staging");
    let _ = fs::remove_dir_all(&staging);
    fs::create_dir_all(&staging).expect("a folder");
    for entry in fs::read_dir(tiny_model()).expect("the model is there") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), staging.join(entry.file_name())).expect("copied");
    }
    change(&staging);
    let place = root.join(name).join(version.to_string());
    fs::create_dir_all(root.join(name)).expect("a folder");
    let _ = fs::remove_dir_all(&place);
    fs::rename(&staging, &place).expect("moved");
}

fn same(_: &Path) {}

fn edit(file: &'static str, from: &'static str, to: &'static str) -> impl FnOnce(&Path) {
    move |folder| {
        let path = folder.join(file);
        let text = fs::read_to_string(&path).expect("text");
        assert!(text.contains(from), "{from:?} is in {file}");
        fs::write(path, text.replacen(from, to, 1)).expect("written");
    }
}

/// Replaces the ONNX file's only occurrence of some bytes.
fn patch_onnx(change: impl FnOnce(&mut Vec<u8>)) -> impl FnOnce(&Path) {
    move |folder| {
        let path = folder.join("model.onnx");
        let mut bytes = fs::read(&path).expect("a file");
        change(&mut bytes);
        fs::write(path, bytes).expect("written");
    }
}

struct Served {
    root: TempDir,
    models: Arc<Repository>,
    service: Router,
}

/// Serves what `fill` puts into a folder, and takes calls that change it.
fn serve(fill: impl FnOnce(&Path)) -> Served {
    let root = tempfile::tempdir().expect("a folder");
    fill(root.path());
    let options = RepositoryOptions { root: root.path().to_path_buf(), ..RepositoryOptions::default() };
    let mut engine = Engine::new(Repository::open(options).expect("readable"), &limits()).expect("threads");
    engine.model_calls = true;
    let models = Arc::clone(&engine.models);
    let state = AppState::new(Arc::new(engine), &limits());
    Served { root, models, service: app(&state) }
}

impl Served {
    async fn call(&self, method: &str, path: &str) -> Reply {
        let request = Request::builder().method(method).uri(path).body(Body::empty());
        send(&self.service, request.expect("a request")).await
    }

    async fn ask(&self, query: &str) -> Reply {
        post(&self.service, &format!("/classify?{query}"), "image/png", blue_png()).await
    }

    async fn states(&self) -> Vec<[Value; 3]> {
        let list = get(&self.service, "/v1/models").await.json();
        let models = list["models"].as_array().expect("a list").clone();
        models.iter().map(|one| [one["name"].clone(), one["version"].clone(), one["state"].clone()]).collect()
    }

    /// Waits until the models are in these states, as (version, state).
    async fn becomes(&self, wanted: &[(&str, &str)]) {
        let wanted: Vec<_> =
            wanted.iter().map(|(version, state)| [json!("tiny"), json!(version), json!(state)]).collect();
        while self.states().await != wanted {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_version_is_told_and_the_others_are_served() {
    let served = serve(|root| {
        put(root, "good", 1, same);
        put(root, "corrupt", 1, patch_onnx(|bytes| bytes[100..200].fill(0xff)));
        put(root, "cut", 1, patch_onnx(|bytes| bytes.truncate(bytes.len() / 2)));
        put(root, "misfit", 1, edit("model.toml", "output = \"logits\"", "output = \"scores\""));
        put(root, "unlabelled", 1, |folder| fs::remove_file(folder.join("labels.txt")).expect("removed"));
        put(root, "other", 1, edit("model.toml", "tolerance = 0.0001", "tolerance = 1e-12"));
        put(
            root,
            "future",
            1,
            patch_onnx(|bytes| {
                // opset_import { domain: "" version: 18 }, field 8 of the model
                let at = bytes.windows(6).position(|window| window == [0x42, 4, 0x0a, 0, 0x10, 18]);
                bytes[at.expect("the file names its opset") + 5] = 127;
            }),
        );
    });
    let expected = [
        ("corrupt", "no ONNX file"),
        ("cut", "cut off, or no ONNX file"),
        ("future", "opset"),
        ("misfit", "[head] names an output"),
        ("other", "the outputs differ"),
        ("unlabelled", "labels.txt"),
    ];
    let list = get(&served.service, "/v1/models").await.json();
    for (name, reason) in expected {
        let entry = list["models"].as_array().expect("a list").iter().find(|one| one["name"] == name);
        let entry = entry.unwrap_or_else(|| panic!("{name} is listed"));
        assert_eq!(entry["state"], "refused", "{name}");
        let told = entry["reason"].as_str().expect("a reason");
        assert!(told.contains(reason) && told.lines().count() == 1, "{name}: {told}");
    }
    assert_eq!(served.ask("").await.status, 200, "the only model that can is found");
    assert_eq!(served.ask("model=corrupt").await.json()["code"], "model_not_found");
    assert_eq!(get(&served.service, "/readyz").await.status, 200);
}

#[tokio::test]
async fn calls_load_and_unload() {
    let served = serve(|root| put(root, "tiny", 1, same));
    assert_eq!(served.ask("").await.json()["version"], "1");
    put(served.root.path(), "tiny", 2, same);
    assert_eq!(served.ask("version=2").await.status, 404, "nothing changes by itself");
    let reply = served.call("PUT", "/v1/models/tiny?version=2").await;
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    assert_eq!(served.ask("").await.json()["version"], "2", "the newest answers");
    assert_eq!(served.ask("version=1").await.json()["version"], "1", "side by side");

    put(served.root.path(), "tiny", 2, edit("model.toml", "task = \"classify\"", "task = \"clasify\""));
    let reply = served.call("PUT", "/v1/models/tiny?version=2").await;
    assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (422, &json!("model_refused")));
    assert!(reply.json()["detail"].as_str().is_some_and(|detail| detail.contains("clasify")), "{}", reply.json());
    assert_eq!(served.ask("").await.json()["version"], "2", "what was served is served still");

    assert_eq!(served.call("DELETE", "/v1/models/tiny?version=2").await.status, 204);
    assert_eq!(served.ask("").await.json()["version"], "1");
    assert_eq!(served.call("DELETE", "/v1/models/tiny").await.status, 204);
    assert_eq!(served.ask("").await.json()["code"], "model_not_found");
    assert_eq!(get(&served.service, "/readyz").await.status, 503, "nothing is served");
    for (method, path, status, code) in [
        ("DELETE", "/v1/models/tiny", 404, "model_not_found"),
        ("PUT", "/v1/models/nobody", 422, "model_refused"),
        ("PUT", "/v1/models/..", 422, "model_refused"),
        ("PUT", "/v1/models/tiny?version=x", 400, "invalid_parameter"),
        ("PUT", "/v1/models/tiny?path=/etc", 400, "invalid_parameter"),
    ] {
        let reply = served.call(method, path).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (status, &json!(code)), "{method} {path}");
    }
}

#[tokio::test]
async fn without_leave_no_call_changes_anything() {
    let service = support::service(support::model("colors", support::MeanColor, 8));
    for (method, path) in [("PUT", "/v1/models/colors"), ("DELETE", "/v1/models/colors"), ("PUT", "/v1/log?filter=off")]
    {
        let request = Request::builder().method(method).uri(path).body(Body::empty());
        let reply = send(&service, request.expect("a request")).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (403, &json!("forbidden")), "{method} {path}");
    }
}

#[tokio::test]
async fn the_folder_is_followed() {
    let served = serve(|root| put(root, "tiny", 1, same));
    let watching = tokio::spawn(watch(Arc::clone(&served.models), Duration::from_millis(5)));
    put(served.root.path(), "tiny", 2, same);
    served.becomes(&[("1", "ready"), ("2", "ready")]).await;
    assert_eq!(served.ask("").await.json()["version"], "2");

    // a version is written in its place, file by file, the manifest first
    let place = served.root.path().join("tiny/3");
    fs::create_dir(&place).expect("a folder");
    let mut seen_half = false;
    for file in ["model.toml", "labels.txt", "golden.npz", "golden.png", "model.onnx"] {
        let bytes = fs::read(tiny_model().join(file)).expect("a file");
        fs::write(place.join(file), &bytes[..bytes.len() / 2]).expect("written");
        seen_half |= served.states().await.contains(&[json!("tiny"), json!("3"), json!("ready")]);
        fs::write(place.join(file), &bytes).expect("written");
        seen_half |=
            file != "model.onnx" && served.states().await.contains(&[json!("tiny"), json!("3"), json!("ready")]);
    }
    assert!(!seen_half, "half a version was never served");
    served.becomes(&[("1", "ready"), ("2", "ready"), ("3", "ready")]).await;

    put(served.root.path(), "tiny", 4, edit("model.toml", "task = \"classify\"", "task = \"clasify\""));
    served.becomes(&[("1", "ready"), ("2", "ready"), ("3", "ready"), ("4", "refused")]).await;
    assert_eq!(served.ask("").await.json()["version"], "3", "the newest that can be served");
    put(served.root.path(), "tiny", 4, same);
    served.becomes(&[("1", "ready"), ("2", "ready"), ("3", "ready"), ("4", "ready")]).await;

    for version in ["1", "2", "3"] {
        fs::remove_dir_all(served.root.path().join("tiny").join(version)).expect("removed");
    }
    served.becomes(&[("4", "ready")]).await;
    assert_eq!(served.ask("").await.json()["version"], "4");
    watching.abort();
}

#[tokio::test]
async fn a_default_version_answers_when_none_is_named() {
    let root = tempfile::tempdir().expect("a folder");
    put(root.path(), "tiny", 1, same);
    put(root.path(), "tiny", 2, same);
    let options = RepositoryOptions {
        root: root.path().to_path_buf(),
        default_versions: [("tiny".to_owned(), 1)].into(),
        ..RepositoryOptions::default()
    };
    let catalog = Repository::open(options).expect("readable").catalog();
    let version = |wanted| {
        let model = catalog.find(cenet_serve::manifest::Task::Classify, Some("tiny"), wanted);
        model.expect("served").directory.version
    };
    assert_eq!((version(None), version(Some("2"))), (1, 2));
}

#[tokio::test]
async fn a_default_model_answers_when_none_is_named() {
    let root = tempfile::tempdir().expect("a folder");
    let default = || edit("model.toml", "task = \"classify\"", "task = \"classify\"\ndefault = true");
    let find = |default_models: &[&str]| {
        let options = RepositoryOptions {
            root: root.path().to_path_buf(),
            default_models: default_models.iter().map(ToString::to_string).collect(),
            ..RepositoryOptions::default()
        };
        let catalog = Repository::open(options).expect("readable").catalog();
        let found = catalog.find(cenet_serve::manifest::Task::Classify, None, None);
        found.map(|model| model.directory.name.clone()).map_err(|error| error.to_string())
    };
    put(root.path(), "first", 1, same);
    assert_eq!(find(&[]), Ok("first".into()), "the only one");
    put(root.path(), "second", 1, same);
    assert!(find(&[]).is_err_and(|error| error.contains("several models can classify")));
    assert_eq!(find(&["second"]), Ok("second".into()));
    put(root.path(), "third", 1, default());
    assert_eq!(find(&[]), Ok("third".into()), "its manifest says so");
    assert_eq!(find(&["second", "absent"]), Ok("second".into()), "the options win");
    put(root.path(), "fourth", 1, default());
    assert!(find(&[]).is_err_and(|error| error.contains("first, fourth, second, third")));
}
