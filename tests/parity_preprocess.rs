//! Resized and cropped pixels against Pillow's on the same decoded pixels: within 1 of 255 for 99.9 % of the values.

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
            let differences = || ours.iter().zip(theirs.iter()).map(|(a, b)| a.abs_diff(*b));
            let near = differences().filter(|difference| *difference <= 1).count() as f64 / ours.len() as f64;
            let equal = differences().filter(|difference| *difference == 0).count() as f64 / ours.len() as f64;
            let most = differences().max().unwrap_or(0);
            println!("{:24} {spec:18} equal {equal:.4}  within 1 {near:.5}  most {most}", picture.file);
            compared += 1;
            if near < 0.999 {
                failures.push(format!("{} {spec}: {near:.4} within 1 of 255, largest difference {most}", picture.file));
            }
        }
    }
    assert!(compared >= 50, "only {compared} comparisons");
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
