//! Resized and cropped pixels against Pillow's on the same decoded pixels: every value is the same.

use cenet_serve::vision::preprocess::Preprocessor;

#[expect(dead_code, reason = "each test uses its part")]
mod fixtures;

use fixtures::Fixtures;

#[test]
fn resized_pixels_equal_pillows() {
    let fixtures = Fixtures::load();
    let mut failures = Vec::new();
    let mut compared = 0;
    for picture in &fixtures.pictures {
        for spec in &picture.specs {
            let preprocessor = Preprocessor::new(&fixtures.preprocess(spec));
            let (ours, _) = preprocessor.resize(&fixtures.decoded(picture)).expect("a picture with pixels");
            let theirs = fixtures.resized(picture, spec);
            assert_eq!(ours.dimensions(), theirs.dimensions(), "{} {spec}", picture.file);
            let different = ours.iter().zip(theirs.iter()).filter(|(a, b)| a != b).count();
            compared += 1;
            if different > 0 {
                failures.push(format!("{} {spec}: {different} of {} values differ", picture.file, ours.len()));
            }
        }
    }
    assert!(compared >= 150, "only {compared} comparisons");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_tensor_holds_the_resized_pixels() {
    let fixtures = Fixtures::load();
    let picture = &fixtures.pictures[0];
    for spec in &picture.specs {
        let preprocessor = Preprocessor::new(&fixtures.preprocess(spec));
        let decoded = fixtures.decoded(picture);
        let mut tensor = vec![f32::NAN; preprocessor.tensor_len()];
        preprocessor.write(&decoded, &mut tensor).expect("a picture with pixels");
        let (resized, _) = preprocessor.resize(&decoded).expect("a picture with pixels");
        assert!(tensor.iter().zip(resized.iter()).all(|(value, byte)| *value == f32::from(*byte)), "{spec}");
    }
}
