//! Hostile and odd pictures, each decoded as Pillow does it or refused with the right code, by the decoder and over HTTP.
//!
//! `make torture` draws them (`scripts/make_torture.py` tells what is to become of each); without them these tests pass over.

mod support;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use axum::Router;
use cenet_serve::config::LimitOptions;
use cenet_serve::error::ErrorKind;
use cenet_serve::serve::{AppState, app};
use cenet_serve::vision::decode::{DecodeLimits, DecodePolicy, decode};
use image::RgbImage;
use serde::Deserialize;
use serde_json::Value;
use support::{MeanColor, blue_png, engine, form, get, green_png, model, post};

/// Mean difference of lossy pictures, of 255.
const LOSSY_MEAN: f64 = 0.5;

/// The same for the scores of red, green and blue, which are means of what is up to 1.
const LOSSY_SCORE: f64 = 0.004;

#[derive(Deserialize)]
struct Manifest {
    pictures: Vec<Picture>,
}

#[derive(Deserialize)]
struct Picture {
    file: String,
    /// The codes that it may be refused with; none when it is to be decoded.
    refused: Vec<String>,
}

struct Torture {
    folder: PathBuf,
    pictures: Vec<Picture>,
}

impl Torture {
    /// The pictures, where they are drawn; they have to be where a folder is named.
    fn load() -> Option<Self> {
        let named = std::env::var_os("CENET_TORTURE");
        let folder = PathBuf::from(named.clone().unwrap_or_else(|| ".cache/torture".into()));
        let Ok(text) = fs::read(folder.join("manifest.json")) else {
            assert!(named.is_none(), "no pictures in {}", folder.display());
            eprintln!("passed over: no pictures in {}, run `make torture`", folder.display());
            return None;
        };
        let Manifest { pictures } = serde_json::from_slice(&text).expect("manifest.json as make_torture.py writes it");
        assert!(pictures.len() > 800, "only {} pictures: run `make torture`", pictures.len());
        Some(Self { folder, pictures })
    }

    fn bytes(&self, picture: &Picture) -> Vec<u8> {
        fs::read(self.folder.join(&picture.file)).expect("the picture is there")
    }

    /// PNGs of the pixels that Pillow gives: a second where libjpeg-turbo's plain code gives others than its vector code.
    fn expected(&self, picture: &Picture) -> Vec<Vec<u8>> {
        let read = |ending| fs::read(self.folder.join("decoded").join(format!("{}{ending}", picture.file)));
        let mut answers = vec![read(".png").expect("Pillow's answer is there")];
        answers.extend(read(".plain.png").ok());
        answers
    }
}

fn is_lossy(file: &str) -> bool {
    file.contains("jpeg") || file.starts_with("webp_lossy") || file.starts_with("webp_animated_lossy")
}

/// What is wrong with `ours`, if anything is.
fn differs(file: &str, ours: &RgbImage, theirs: &RgbImage) -> Option<String> {
    if ours.dimensions() != theirs.dimensions() {
        return Some(format!("{:?} instead of {:?}", ours.dimensions(), theirs.dimensions()));
    }
    let differences = ours.iter().zip(theirs.iter()).map(|(a, b)| a.abs_diff(*b));
    let mean = differences.clone().map(f64::from).sum::<f64>() / ours.len() as f64;
    let most = differences.max().unwrap_or(0);
    (mean >= LOSSY_MEAN || (most > 0 && !is_lossy(file))).then(|| format!("mean difference {mean:.3}, largest {most}"))
}

fn code(kind: ErrorKind) -> String {
    kind.code().to_owned()
}

#[test]
fn a_picture_is_pillows_or_refused() {
    let Some(torture) = Torture::load() else { return };
    let mut failures = Vec::new();
    for picture in &torture.pictures {
        let outcome = decode(&torture.bytes(picture), DecodePolicy::default(), &DecodeLimits::default());
        let problem = match outcome {
            Ok(ours) if picture.refused.is_empty() => {
                let theirs = torture.expected(picture);
                let theirs =
                    theirs.iter().map(|png| image::load_from_memory(png).expect("a PNG that Pillow wrote").into_rgb8());
                let problems: Option<Vec<_>> = theirs.map(|theirs| differs(&picture.file, &ours, &theirs)).collect();
                problems.map(|problems| problems.join("; "))
            }
            Ok(_) => Some(format!("decoded instead of {:?}", picture.refused)),
            Err(error) if picture.refused.contains(&code(error.kind)) => None,
            Err(error) => Some(format!("{} instead of {:?}: {error}", code(error.kind), picture.refused)),
        };
        failures.extend(problem.map(|problem| format!("{}: {problem}", picture.file)));
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), torture.pictures.len(), failures.join("\n"));
}

fn serve() -> Router {
    let limits = LimitOptions { decode_threads: 1, ..LimitOptions::default() };
    app(&AppState::new(engine(model("colors", MeanColor, 8), &limits), &limits))
}

async fn scores(service: &Router, picture: Vec<u8>) -> Result<HashMap<String, f64>, (u16, String)> {
    let reply = post(service, "/classify", "application/octet-stream", picture).await;
    let json = reply.json();
    if reply.status != 200 {
        return Err((reply.status.as_u16(), json["code"].as_str().unwrap_or_default().to_owned()));
    }
    let of = |one: &Value| Some((one["label"].as_str()?.to_owned(), one["score"].as_f64()?));
    Ok(json["predictions"].as_array().expect("a list").iter().map(|one| of(one).expect("a score")).collect())
}

#[tokio::test]
async fn over_http_every_picture_has_its_answer() {
    let Some(torture) = Torture::load() else { return };
    let (service, mut failures) = (serve(), Vec::new());
    for picture in &torture.pictures {
        let problem = match scores(&service, torture.bytes(picture)).await {
            Ok(ours) if picture.refused.is_empty() => {
                let most = if is_lossy(&picture.file) { LOSSY_SCORE } else { 0.0 };
                let (mut answers, mut same) = (Vec::new(), false);
                for png in torture.expected(picture) {
                    let theirs = scores(&service, png).await.expect("a good PNG");
                    same |= theirs.iter().all(|(label, score)| (ours[label] - score).abs() <= most);
                    answers.push(theirs);
                }
                (!same).then(|| format!("{ours:?} instead of {answers:?}"))
            }
            Ok(_) => Some(format!("answered instead of {:?}", picture.refused)),
            Err((400..500, code)) if picture.refused.contains(&code) => None,
            Err((status, code)) => Some(format!("{status} {code} instead of {:?}", picture.refused)),
        };
        failures.extend(problem.map(|problem| format!("{}: {problem}", picture.file)));
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), torture.pictures.len(), failures.join("\n"));
    assert_eq!(get(&service, "/readyz").await.status, 200);
    assert!(scores(&service, green_png()).await.is_ok(), "a good picture is still answered");
    let mib = most_memory_mib();
    assert!(mib < 1536, "{mib} MiB were taken at most");
}

#[tokio::test]
async fn among_good_pictures_only_the_bad_one_fails() {
    let Some(torture) = Torture::load() else { return };
    let service = serve();
    for picture in torture.pictures.iter().filter(|picture| !picture.refused.is_empty()) {
        let bytes = torture.bytes(picture);
        if bytes.is_empty() {
            continue;
        }
        let (content_type, body) = form(&[&green_png(), &bytes, &blue_png()]);
        let reply = post(&service, "/classify", &content_type, body).await;
        let json = reply.json();
        let results = json["results"].as_array().unwrap_or_else(|| panic!("{}: {json}", picture.file));
        let first = |index: usize| results[index]["predictions"][0]["label"].as_str().expect("an answer").to_owned();
        assert_eq!((first(0), first(2)), ("green".into(), "blue".into()), "{}", picture.file);
        let code = results[1]["error"]["code"].as_str().expect("an error").to_owned();
        assert!(picture.refused.contains(&code), "{}: {code}", picture.file);
    }
}

/// The most memory that this process has had.
fn most_memory_mib() -> u64 {
    let status = fs::read_to_string(Path::new("/proc/self/status")).expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the most there was");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") / 1024
}
