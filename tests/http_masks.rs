//! Masks over HTTP: which pixels of the original a detection covers, as COCO's run lengths, or drawn.

mod support;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use cenet_serve::backend::{Signature, TensorInfo};
use image::{ImageFormat, Rgb, RgbImage};
use ndarray::{Array, ArrayD, Dimension};
use serde_json::json;
use support::{Scripted, encode, mask_detector, post, send, service};

/// Two boxes in the 8x8 tensor, of which the second falls to the first, with `masks`.
fn sees(frame: &str, masks: ArrayD<f32>) -> Router {
    let boxes = Array::from_shape_vec(vec![2, 4], vec![0.0, 0.0, 4.0, 4.0, 1.0, 1.0, 5.0, 5.0]).expect("eight edges");
    let labels = Array::from_vec(vec![0.0, 0.0]).into_dyn();
    let scores = Array::from_vec(vec![0.4, 0.9]).into_dyn();
    let outputs = vec![boxes, labels, scores, masks];
    service(mask_detector("masks", frame, Scripted(move |_| Ok(outputs.clone()))))
}

/// Grey; of 16 pixels a side, everything counts twice.
fn gray(side: u32) -> Vec<u8> {
    encode(&RgbImage::from_pixel(side, side, Rgb([100; 3])), ImageFormat::Png)
}

/// Masks of which the first covers everything and the others their left half.
fn two_masks(shape: &[usize]) -> ArrayD<f32> {
    let half = shape[shape.len() - 1] / 2;
    let covered = |at: &[usize]| at[0] == 0 || at[at.len() - 1] < half;
    ArrayD::from_shape_fn(shape, |at| f32::from(u8::from(covered(at.slice()))))
}

#[tokio::test]
async fn the_mask_is_the_kept_boxs_own() {
    for (frame, shape, counts) in [
        // what torchvision and pycocotools give for it: columns 2 to 6 and rows 2 to 10, the corners rounded
        ("box", vec![2, 1, 4, 4], "S1782O0001N^4"),
        ("box", vec![2, 4, 4], "S1782O0001N^4"),
        // columns 2 to 7, rows 2 to 9: the tensor's left half as far as the box reaches
        ("input", vec![2, 1, 8, 8], "R188000000000n3"),
        ("input", vec![2, 8, 8], "R188000000000n3"),
    ] {
        let service = sees(frame, two_masks(&shape));
        let reply = post(&service, "/detect?iou=0.1", "image/png", gray(16)).await;
        let detections = reply.json()["detections"].clone();
        assert_eq!(detections.as_array().map(Vec::len), Some(1), "{detections}");
        assert_eq!(detections[0]["box"], json!([2.0, 2.0, 10.0, 10.0]));
        assert_eq!(detections[0]["mask"], json!({ "size": [16, 16], "counts": counts }), "{frame} {shape:?}");
    }
}

#[tokio::test]
async fn the_mask_is_drawn() {
    let service = sees("input", two_masks(&[2, 1, 8, 8]));
    let request = Request::post("/detect?iou=0.1").header("accept", "image/png").header("content-type", "image/png");
    let reply = send(&service, request.body(Body::from(gray(160))).expect("a request")).await;
    let drawn = image::load_from_memory(&reply.body).expect("a picture").to_rgb8();
    let [red, green, blue] = drawn.get_pixel(60, 70).0;
    assert!(red > 120 && green < 100 && blue < 100, "inside of the mask: {red} {green} {blue}");
    assert_eq!(drawn.get_pixel(90, 70).0, [100; 3], "in the box, and not in the mask");
}

#[tokio::test]
async fn masks_that_are_no_masks_are_named() {
    for (frame, masks, expected) in [
        ("box", two_masks(&[2, 1, 4, 4]) * f32::NAN, "masks holds NaN"),
        ("box", two_masks(&[2, 2, 4, 4]), "masks has shape [2, 2, 4, 4]"),
        ("box", two_masks(&[1, 1, 4, 4]), "masks has shape [1, 1, 4, 4]"),
        ("input", two_masks(&[2, 4, 4]), "masks has shape [2, 4, 4], [2, 8, 8] is expected"),
    ] {
        let reply = post(&sees(frame, masks), "/detect", "image/png", gray(16)).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (500, &json!("inference_failed")));
        let detail = reply.json()["detail"].as_str().unwrap_or("").to_owned();
        assert!(detail.contains(expected), "{detail}");
    }
}

#[test]
fn shapes_that_are_known_at_load_are_checked() {
    let directory = mask_detector("masks", "input", Scripted(|_| Ok(Vec::new()))).directory.clone();
    let tensor =
        |name: &str, shape: &[i64]| TensorInfo { name: name.into(), data_type: "f32".into(), shape: shape.into() };
    let check = |boxes: &[i64], masks: &[i64]| {
        let outputs =
            vec![tensor("boxes", boxes), tensor("labels", &[-1]), tensor("scores", &[-1]), tensor("masks", masks)];
        directory.check_signature(&Signature { inputs: vec![tensor("input", &[1, 3, 8, 8])], outputs })
    };
    for masks in [&[-1, 1, 8, 8][..], &[-1, 8, 8], &[100, 1, -1, -1]] {
        assert_eq!(check(&[-1, 4], masks).expect("they fit"), [0, 1, 2, 3]);
    }
    for (boxes, masks) in
        [(&[-1, 4][..], &[-1, 1, 28, 28][..]), (&[-1, 4], &[-1, 2, 8, 8]), (&[-1, 4], &[8, 8]), (&[-1, 5], &[-1, 8, 8])]
    {
        let error = check(boxes, masks).expect_err("they don't fit").to_string();
        assert!(error.contains("model.toml"), "{boxes:?} {masks:?}: {error}");
    }
}
