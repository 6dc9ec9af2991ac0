//! Decoding and preprocessing of a photo as cameras and the web have it. Reads the pictures that `make fixtures` draws.

use std::hint::black_box;
use std::path::PathBuf;

use cenet_serve::manifest::{Preprocess, Resize};
use cenet_serve::vision::decode::{DecodeLimits, DecodePolicy, decode};
use cenet_serve::vision::preprocess::Preprocessor;
use criterion::{Criterion, criterion_group, criterion_main};

const PICTURES: [(&str, &str); 2] = [("500x375", "jpeg_420_q90.jpg"), ("4000x3000", "jpeg_12mp.jpg")];

fn picture(file: &str) -> Vec<u8> {
    let folder = PathBuf::from(std::env::var_os("CENET_FIXTURES").unwrap_or_else(|| ".cache/fixtures".into()));
    std::fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{file}: run `make fixtures` ({error})"))
}

/// A declaration with the defaults of ImageNet networks.
fn preprocessor(size: [u32; 2], to: u32) -> Preprocessor {
    let text = "input = 'pixels'\nsize = [1, 1]\nmean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\nresize = { mode = 'stretch' }";
    let preprocess: Preprocess = toml::from_str(text).expect("a sound declaration");
    let resize = Resize::ShorterSide { to };
    Preprocessor::new(&Preprocess { size, resize, ..preprocess })
}

fn benches(criterion: &mut Criterion) {
    for (name, file) in PICTURES {
        let bytes = picture(file);
        let read = || decode(&bytes, DecodePolicy::default(), &DecodeLimits::default()).expect("a whole picture");
        let decoded = read();
        criterion.bench_function(&format!("decode/{name}"), |bencher| bencher.iter(|| black_box(read())));
        // What the crop keeps of 341x256 pixels, and all of them.
        for (part, size) in [("crop", [224, 224]), ("whole", [256, 341])] {
            let preprocessor = preprocessor(size, 256);
            let mut tensor = vec![0.0; preprocessor.tensor_len()];
            criterion.bench_function(&format!("preprocess/{name}/{part}"), |bencher| {
                bencher.iter(|| preprocessor.write(black_box(&decoded), &mut tensor).expect("a picture with pixels"));
            });
        }
    }
}

criterion_group!(group, benches);
criterion_main!(group);
