//! What is asked in the Open Inference Protocol, and what must be answered, whatever the wire.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};

use super::support::{blue_png, green_png, red_jpeg};

/// A request in tensors, and what must become of it.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) model: &'static str,
    pub(crate) version: &'static str,
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<(&'static str, Option<usize>)>,
    pub(crate) expected: Expected,
}

/// An input as it travels in binary, true or not.
#[derive(Clone)]
pub(crate) struct Input {
    pub(crate) name: &'static str,
    pub(crate) data_type: &'static str,
    pub(crate) shape: Vec<i64>,
    pub(crate) data: Vec<u8>,
}

pub(crate) enum Expected {
    /// Names and shapes of the outputs; of each row of the first, which number is the largest.
    Numbers(Vec<(&'static str, Vec<i64>)>, Vec<usize>),
    /// The elements of the first output begin thus, each after its number's value.
    Labels(Vec<&'static str>),
    /// The error's stable code.
    Refused(&'static str),
}

/// A batch of pictures of one colour each, by channel.
fn prepared(channels: &[usize]) -> Input {
    let picture =
        |channel: usize| (0..3 * 64).flat_map(move |index| f32::from(u8::from(index / 64 == channel)).to_le_bytes());
    let data = channels.iter().flat_map(|channel| picture(*channel)).collect();
    Input { name: "input", data_type: "FP32", shape: vec![channels.len() as i64, 3, 8, 8], data }
}

fn files(files: &[Vec<u8>], shape: &[i64]) -> Input {
    let data = files.iter().flat_map(|file| [&(file.len() as u32).to_le_bytes(), file.as_slice()].concat()).collect();
    Input { name: "input", data_type: "BYTES", shape: shape.to_vec(), data }
}

fn case(name: impl Into<String>, inputs: Vec<Input>, expected: Expected) -> Case {
    Case { name: name.into(), model: "colors", version: "", inputs, outputs: Vec::new(), expected }
}

fn refused(name: impl Into<String>, inputs: Vec<Input>, code: &'static str) -> Case {
    case(name, inputs, Expected::Refused(code))
}

fn logits(rows: &[usize]) -> Expected {
    Expected::Numbers(vec![("logits", vec![rows.len() as i64, 3])], rows.to_vec())
}

fn gif() -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    RgbImage::from_pixel(5, 4, Rgb([9, 9, 200])).write_to(&mut file, ImageFormat::Gif).expect("it can be encoded");
    file.into_inner()
}

/// Every case, for a classifier `colors` and a detector `boxes` that sees one box.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = good();
    cases.extend(wrong_names());
    cases.extend(wrong_types());
    cases.extend(wrong_shapes());
    cases.extend(wrong_data());
    cases
}

fn good() -> Vec<Case> {
    let mut cases: Vec<_> = [&[0][..], &[1], &[2, 0], &[2, 1, 0], &[0; 8]]
        .map(|rows| case(format!("prepared {rows:?}"), vec![prepared(rows)], logits(rows)))
        .into();
    let mix = [blue_png(), red_jpeg(), green_png(), gif()];
    cases.push(case("files, one axis", vec![files(&mix, &[4])], logits(&[2, 0, 1, 2])));
    cases.push(case("files, two axes", vec![files(&mix[..2], &[2, 1])], logits(&[2, 0])));
    for (count, labels) in [(1, vec!["2:blue"]), (2, vec!["2:blue"]), (3, vec!["2:blue"]), (99, vec!["2:blue"])] {
        let asked = case(format!("{count} labels"), vec![prepared(&[2])], Expected::Labels(labels));
        cases.push(Case { outputs: vec![("logits", Some(count))], ..asked });
    }
    let rows = case("labels of a batch", vec![prepared(&[0, 1])], Expected::Labels(vec!["0:red", "1:green"]));
    cases.push(Case { outputs: vec![("logits", Some(1))], ..rows });
    cases.push(Case { outputs: vec![("logits", None)], ..case("output named", vec![prepared(&[1])], logits(&[1])) });
    cases.push(Case { version: "1", ..case("version named", vec![prepared(&[1])], logits(&[1])) });
    let boxes = vec![("boxes", vec![1, 4]), ("labels", vec![1]), ("scores", vec![1])];
    let found = case("a detector's outputs", vec![files(&mix[..1], &[1])], Expected::Numbers(boxes, vec![3]));
    cases.push(Case { model: "boxes", ..found });
    let one =
        case("one of several outputs", vec![prepared(&[0])], Expected::Numbers(vec![("scores", vec![1])], vec![0]));
    cases.push(Case { model: "boxes", outputs: vec![("scores", None)], ..one });
    let turned = Expected::Numbers(vec![("scores", vec![1]), ("boxes", vec![1, 4])], vec![0]);
    let several = case("outputs in the order asked", vec![prepared(&[0])], turned);
    cases.push(Case { model: "boxes", outputs: vec![("scores", None), ("boxes", None)], ..several });
    cases
}

fn wrong_names() -> Vec<Case> {
    let input = || vec![prepared(&[0])];
    let renamed = |name| vec![Input { name, ..prepared(&[0]) }];
    vec![
        Case { model: "nobody", ..refused("unknown model", input(), "model_not_found") },
        Case { model: "..", ..refused("a path for a model", input(), "model_not_found") },
        Case { version: "2", ..refused("unknown version", input(), "model_not_found") },
        Case { version: "0", ..refused("version 0", input(), "model_not_found") },
        Case { version: "one", ..refused("version in words", input(), "invalid_parameter") },
        Case { version: "-1", ..refused("version below zero", input(), "invalid_parameter") },
        Case { outputs: vec![("scores", None)], ..refused("unknown output", input(), "invalid_parameter") },
        Case { outputs: vec![("", None)], ..refused("nameless output", input(), "invalid_parameter") },
        refused("no input", Vec::new(), "invalid_parameter"),
        refused("two inputs", [input(), input()].concat(), "invalid_parameter"),
        refused("unknown input", renamed("image"), "invalid_parameter"),
        refused("nameless input", renamed(""), "invalid_parameter"),
        refused("input in capitals", renamed("INPUT"), "invalid_parameter"),
        Case { model: "boxes", ..refused("a batch for a model of one", vec![prepared(&[0, 1])], "invalid_parameter") },
    ]
}

fn wrong_types() -> Vec<Case> {
    let sizes = [
        ("BOOL", 1),
        ("UINT8", 1),
        ("UINT16", 2),
        ("UINT32", 4),
        ("UINT64", 8),
        ("INT8", 1),
        ("INT16", 2),
        ("INT32", 4),
        ("INT64", 8),
        ("FP16", 2),
        ("BF16", 2),
        ("FP64", 8),
    ];
    let typed = |(data_type, size): (&'static str, usize)| {
        refused(data_type, vec![Input { data_type, data: vec![0; 192 * size], ..prepared(&[0]) }], "invalid_parameter")
    };
    let unknown = |data_type: &'static str| {
        let name = format!("datatype {data_type:?}");
        refused(name, vec![Input { data_type, ..prepared(&[0]) }], "invalid_parameter")
    };
    sizes.map(typed).into_iter().chain(["FP8", "fp32", "", "TYPE_FP32"].map(unknown)).collect()
}

fn wrong_shapes() -> Vec<Case> {
    let shaped = |shape: &[i64], numbers: usize| {
        let input = Input { shape: shape.to_vec(), data: vec![0; numbers * 4], ..prepared(&[0]) };
        refused(format!("shape {shape:?}"), vec![input], "invalid_parameter")
    };
    vec![
        shaped(&[], 1),
        shaped(&[192], 192),
        shaped(&[3, 8, 8], 192),
        shaped(&[1, 1, 3, 8, 8], 192),
        shaped(&[1, 8, 8, 3], 192),
        shaped(&[1, 3, 64, 1], 192),
        shaped(&[1, 3, 9, 8], 216),
        shaped(&[0, 3, 8, 8], 0),
        shaped(&[-1, 3, 8, 8], 192),
        shaped(&[2, 3, 8, 8], 192),
        shaped(&[i64::MAX, 3, 8, 8], 192),
        shaped(&[1 << 31, 1 << 31, 1 << 31, 1 << 31], 192),
        shaped(&[i64::MAX, i64::MAX, 0, 8], 0),
        shaped(&[i64::MIN, 3, 8, 8], 192),
    ]
}

fn wrong_data() -> Vec<Case> {
    let cut = |bytes: usize| {
        let mut input = prepared(&[0]);
        input.data.resize(bytes, 0);
        refused(format!("{bytes} bytes of 768"), vec![input], "invalid_parameter")
    };
    let elements = |name: &str, shape: &[i64], data: &[u8]| {
        let input = Input { name: "input", data_type: "BYTES", shape: shape.to_vec(), data: data.to_vec() };
        refused(name, vec![input], "invalid_parameter")
    };
    let picture = |name: &str, file: Vec<u8>, code| refused(name, vec![files(&[file], &[1])], code);
    let png = blue_png();
    vec![
        cut(0),
        cut(764),
        cut(767),
        cut(769),
        cut(1536),
        elements("an element longer than the data", &[1], b"\xff\0\0\0ab"),
        elements("a length cut off", &[1], b"\x02\0"),
        elements("no element", &[1], b""),
        elements("more elements than the shape says", &[1], b"\x01\0\0\0a\x01\0\0\0b"),
        elements("fewer elements than the shape says", &[3], b"\x01\0\0\0a"),
        elements("the largest length", &[1], b"\xff\xff\xff\xff"),
        elements("no picture at all", &[0], b""),
        elements("pictures in three axes", &[1, 1, 1], b"\x01\0\0\0a"),
        elements("pictures without an axis", &[], b"\x01\0\0\0a"),
        picture("no known format", b"Hello, world".to_vec(), "unsupported_image"),
        picture("an empty file", Vec::new(), "empty_body"),
        picture("a picture cut off", png[..png.len() / 2].to_vec(), "invalid_image"),
        refused(
            "a bad picture among good ones",
            vec![files(&[png.clone(), b"no".to_vec(), png], &[3])],
            "unsupported_image",
        ),
    ]
}
