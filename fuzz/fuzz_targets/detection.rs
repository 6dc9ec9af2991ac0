//! A network's outputs, whatever they are, read by every head: what comes out lies on the picture, is finite, and can be drawn and written.
#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use cenet_serve::manifest::{Activation, Align, BoxesHead, FcosHead, FcosLevel, Head, MaskFrame, Resize, YoloxHead};
use cenet_serve::vision::detect::{DetectOptions, Detection, Source, detect};
use cenet_serve::vision::draw::draw;
use cenet_serve::vision::geometry::Geometry;
use cenet_serve::vision::postprocess::classify;
use image::RgbImage;
use libfuzzer_sys::fuzz_target;
use ndarray::{ArrayD, IxDyn};

#[derive(Debug)]
struct Case {
    head: Head,
    arrays: Vec<ArrayD<f32>>,
    size: [u32; 2],
    labels: Vec<String>,
    source: Source,
    options: DetectOptions,
    activation: Activation,
}

fuzz_target!(|case: Case| {
    scores(&case);
    let arrays: Vec<_> = case.arrays.iter().collect();
    let found = detect(&case.head, &arrays, case.size, &case.labels, &case.source, &case.options);
    let Ok(found) = found else { return };
    assert!(found.len() <= case.options.max_detections);
    found.iter().for_each(|one| check(one, &case));
    let mut picture = RgbImage::new(case.source.width, case.source.height);
    draw(&mut picture, &found);
    serde_json::to_string(&found).expect("findings can be written");
});

fn check(one: &Detection, case: &Case) {
    let Source { width, height, .. } = case.source;
    let [left, top, right, bottom] = one.bounds;
    assert!(0.0 <= left && left < right && right <= width as f32, "{:?} of {width}x{height}", one.bounds);
    assert!(0.0 <= top && top < bottom && bottom <= height as f32, "{:?} of {width}x{height}", one.bounds);
    assert!(one.score.is_finite() && one.score >= case.options.threshold, "{}", one.score);
    assert_eq!(case.labels[one.index], one.label);
    for [column, from, to] in one.mask.iter().flat_map(|mask| mask.spans()) {
        assert!(column < width && from < to && to <= height, "column {column}, {from} to {to} of {width}x{height}");
    }
}

/// The first output read as a classifier's.
fn scores(case: &Case) {
    let Some(outputs) = case.arrays.first().and_then(|array| array.as_slice()) else { return };
    let labels = vec![String::new(); outputs.len()];
    let Ok(found) = classify(outputs, &labels, case.activation, case.options.max_detections, None) else { return };
    assert_eq!(found.len(), outputs.len().min(case.options.max_detections));
    let ordered = found.is_sorted_by(|a, b| a.score >= b.score);
    assert!(ordered && found.iter().all(|one| one.score.is_finite()), "{found:?}");
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let size = [u.int_in_range(1..=40)?, u.int_in_range(1..=40)?];
        let labels: Vec<_> = (0..u.int_in_range(1..=4)?).map(|index| format!("label {index}")).collect();
        let (head, shapes) = head(u, size, labels.len())?;
        let arrays = shapes.into_iter().map(|shape| array(u, shape)).collect::<Result<_>>()?;
        let (width, height) = (u.int_in_range(1..=120)?, u.int_in_range(1..=120)?);
        let source = Source { geometry: Geometry::new(&resize(u)?, size, width, height), width, height };
        let shares = [0.0, 0.05, 0.3, 0.5, 1.0];
        let options = DetectOptions {
            threshold: *u.choose(&shares)?,
            iou: *u.choose(&shares)?,
            max_detections: u.int_in_range(1..=20)?,
            classes: if u.ratio(1, 4)? { Some(vec![0]) } else { None },
        };
        let activation = *u.choose(&[Activation::Softmax, Activation::Sigmoid, Activation::None])?;
        Ok(Self { head, arrays, size, labels, source, options, activation })
    }
}

fn resize(u: &mut Unstructured<'_>) -> Result<Resize> {
    Ok(match u.int_in_range(0..=3)? {
        0 => Resize::ShorterSide { to: u.int_in_range(1..=50)? },
        1 => Resize::Stretch,
        2 => Resize::Letterbox { align: Align::Center, fill: [0; 3] },
        _ => Resize::Letterbox { align: Align::TopLeft, fill: [9; 3] },
    })
}

/// A head and the shapes that fit it.
fn head(u: &mut Unstructured<'_>, [height, width]: [u32; 2], labels: usize) -> Result<(Head, Vec<Vec<usize>>)> {
    let name = String::new;
    Ok(match u.int_in_range(0..=2)? {
        0 => {
            let levels: Vec<_> = (0..u.int_in_range(1..=2)?)
                .map(|_| {
                    Ok(FcosLevel {
                        stride: u.int_in_range(1..=64)?,
                        classes: name(),
                        distances: name(),
                        centerness: name(),
                    })
                })
                .collect::<Result<_>>()?;
            let mut shapes = Vec::new();
            for _ in &levels {
                let (h, w) = (u.int_in_range(0..=6)?, u.int_in_range(0..=6)?);
                shapes.extend([vec![labels, h, w], vec![4, h, w], vec![1, h, w]]);
            }
            (Head::Fcos(FcosHead { levels, candidates_per_level: u.int_in_range(0..=40)? }), shapes)
        }
        1 => {
            let found = u.int_in_range(0..=6)?;
            let mask_frame = if u.arbitrary()? { MaskFrame::Box } else { MaskFrame::Input };
            let masks = if u.arbitrary()? { Some(name()) } else { None };
            let mut shapes = vec![vec![found, 4], vec![found], vec![found]];
            if masks.is_some() {
                let [h, w] = match mask_frame {
                    MaskFrame::Box => [u.int_in_range(0..=9)?, u.int_in_range(0..=9)?],
                    MaskFrame::Input => [height as usize, width as usize],
                };
                shapes.push(if u.arbitrary()? { vec![found, h, w] } else { vec![found, 1, h, w] });
            }
            let head = BoxesHead {
                boxes: name(),
                classes: name(),
                scores: name(),
                first_class: u.int_in_range(0..=1)?,
                masks,
                mask_frame,
            };
            (Head::Boxes(head), shapes)
        }
        _ => {
            let strides: Vec<u32> = vec![u.int_in_range(1..=20)?, u.int_in_range(1..=20)?];
            let places = strides.iter().map(|stride| (height / stride) as usize * (width / stride) as usize).sum();
            (Head::Yolox(YoloxHead { output: name(), strides }), vec![vec![places, 5 + labels]])
        }
    })
}

/// Numbers of any kind in `shape`; now and then in another.
fn array(u: &mut Unstructured<'_>, mut shape: Vec<usize>) -> Result<ArrayD<f32>> {
    if u.ratio(1, 30)? {
        let axis = u.choose_index(shape.len())?;
        shape[axis] = u.int_in_range(0..=5)?;
    }
    if u.ratio(1, 60)? {
        shape.pop();
    }
    let length: usize = shape.iter().product();
    let numbers = (0..length).map(|_| number(u)).collect::<Result<Vec<f32>>>()?;
    Ok(ArrayD::from_shape_vec(IxDyn(&shape), numbers).expect("as many numbers as the shape has"))
}

fn number(u: &mut Unstructured<'_>) -> Result<f32> {
    const ODD: [f32; 8] = [f32::MAX, f32::MIN, f32::MIN_POSITIVE, -0.0, 1e10, -1e10, 88.0, f32::EPSILON];
    Ok(match u.arbitrary::<u8>()? {
        byte @ 0..=199 => (f32::from(byte) - 20.0) / 4.0,
        byte @ 200..=239 => f32::from(byte - 200) / 39.0,
        byte @ 240..=247 => ODD[usize::from(byte - 240)],
        248 => f32::NAN,
        249 => f32::INFINITY,
        250 => f32::NEG_INFINITY,
        _ => f32::from_bits(u.arbitrary()?),
    })
}
