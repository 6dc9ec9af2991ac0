//! `model.toml`: what is parsed can be prepared for, and written down it is parsed to the same.
#![no_main]

use cenet_serve::manifest::Manifest;
use cenet_serve::vision::preprocess::Preprocessor;
use image::RgbImage;
use libfuzzer_sys::fuzz_target;

/// Numbers of a tensor that is still made.
const LARGEST: usize = 1 << 16;

fuzz_target!(|text: &str| {
    let Ok(manifest) = Manifest::parse(text) else { return };
    assert_eq!(manifest.head.task(), manifest.task);
    for name in [&manifest.model, &manifest.labels] {
        assert!(!name.contains(['/', '\\']) && name != "..", "{name:?} leads out of the directory");
    }
    let preprocessor = Preprocessor::new(&manifest.preprocess);
    if preprocessor.tensor_len() <= LARGEST {
        let mut tensor = vec![0.0; preprocessor.tensor_len()];
        let geometry = preprocessor.write(&RgbImage::new(5, 3), &mut tensor).expect("a picture with pixels");
        assert!(geometry.to_source(1.0, 1.0).0.is_finite());
    }
    let written = serde_json::to_string(&manifest).expect("a manifest can be written");
    let read: Manifest = serde_json::from_str(&written).expect("what was written can be read");
    assert_eq!(read, manifest);
});
