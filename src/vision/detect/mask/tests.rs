use proptest::prelude::*;

use super::rle::{decompressed, text};
use super::*;
use crate::manifest::{Align, Resize};
use crate::vision::geometry::Geometry;

fn mask_of(size: [u32; 2], covered: impl Fn(u32, u32) -> bool) -> Mask {
    let mut mask = Mask::new(size);
    for column in 0..size[1] {
        for row in 0..size[0] {
            if covered(row, column) {
                mask.cover(column, row, row + 1);
            }
        }
    }
    mask
}

fn json(mask: &Mask) -> serde_json::Value {
    serde_json::to_value(mask).expect("a mask is JSON")
}

/// What pycocotools 2.0's `mask.encode` gives.
#[test]
fn runs_are_written_as_coco_writes_them() {
    let cases: [(Mask, &str); 7] = [
        (mask_of([3, 4], |_, _| false), "<"),
        (mask_of([3, 4], |_, _| true), "0<"),
        (mask_of([3, 4], |row, column| row + column == 0), "01;"),
        (mask_of([3, 4], |row, column| row == 2 && column == 3), ";1"),
        (mask_of([3, 4], |row, column| (1..3).contains(&row) && column == 1 || row == 0 && column == 2), "435"),
        (
            mask_of([60, 80], |row, column| row.abs_diff(25).pow(2) + column.abs_diff(40).pow(2) <= 225),
            "e_11f1:I4L4M2N2N2O0O2O0O2O0000000O20N100000001N101N101N2N2N3L4L7F\\\\1",
        ),
        (
            mask_of([1000, 1500], |row, column| (100..900).contains(&row) && (300..303).contains(&column)),
            "TRU9Pi0X6000Tk`T1",
        ),
    ];
    for (mask, counts) in cases {
        assert_eq!(json(&mask), serde_json::json!({ "size": mask.size(), "counts": counts }));
    }
}

proptest! {
    #[test]
    fn what_is_written_can_be_read(counts in prop::collection::vec(0_u64..3_000_000_000, 0..40)) {
        prop_assert_eq!(decompressed(&text(&counts)), Some(counts));
    }

    #[test]
    fn spans_are_what_was_covered(height in 1_u32..9, width in 1_u32..9, pixels in prop::collection::vec(any::<bool>(), 64)) {
        let covered = |row: u32, column: u32| pixels[(row * 8 + column) as usize];
        let mask = mask_of([height, width], covered);
        let mut seen = [false; 64];
        for [column, top, bottom] in mask.spans() {
            prop_assert!(top < bottom && bottom <= height && column < width);
            for row in top..bottom {
                seen[(row * 8 + column) as usize] = true;
            }
        }
        for (row, column) in (0..height).flat_map(|row| (0..width).map(move |column| (row, column))) {
            prop_assert_eq!(seen[(row * 8 + column) as usize], covered(row, column));
        }
        let total: u64 = decompressed(json(&mask)["counts"].as_str().expect("text")).expect("counts").iter().sum();
        prop_assert_eq!(total, u64::from(height * width));
    }
}

/// A picture of 61 by 47 pixels as it is.
fn picture() -> Source {
    Source { geometry: Geometry::new(&Resize::Stretch, [47, 61], 61, 47), width: 61, height: 47 }
}

/// Values in no order.
fn cells(count: usize, key: usize) -> Vec<f32> {
    let value = |row: usize, column: usize| ((row * 7 + column * (3 + key) + row * column * key) % 11) as f32 / 10.0;
    (0..count * count).map(|at| value(at / count, at % count)).collect()
}

/// What torchvision 0.29's `paste_masks_in_image` and `>= 0.5` give, encoded by pycocotools.
#[test]
fn a_boxs_mask_is_pasted_as_torchvision_pastes_it() {
    let cases: [(usize, usize, [f32; 4], &str); 8] = [
        (
            4,
            0,
            [10.3, 5.6, 40.9, 30.2],
            "`?3[12DNXO3h0NVO4h0NWO2i0OVO0k00UO0j02VOLk04VOJk08410001O001O04MIGXO8g0HZO7e0J[O7d0I\\O7d0J\\O6b0L^O3b0M@1`00AN\
             ?2BN=3BM>3BM>2DL>1EN<Ofm0",
        ),
        (4, 1, [-8.5, -3.2, 20.0, 60.5], "m0b0m00000000WOBa0>]OG`09_OM<NH74E0d0901EGH1N7:;0000000002N2N3Mdi1"),
        (4, 2, [50.1, 40.2, 75.0, 46.9], "lZ21Z10hN1X1OhN1X1OhN1X1OhN1X1OhN1[10000000K0kN0"),
        (4, 3, [3.0, 3.0, 3.4, 3.4], "Q31]10fc2"),
        (
            4,
            4,
            [0.0, 0.0, 61.0, 47.0],
            "Y11\\13N2N2[OKM71KM63KK73LJ56KJ55MJ36MJ36NH37NI27OG280GO:c0O1N2O1N2O00100O11O0O101O0@MC5:0C0<3BN<4BN=3BN<4CM<d0\
             N101O0000O1O1N2N2O1O2O0O100O2O0O2O001OO1O2M2N3M3L4LN",
        ),
        (4, 5, [20.0, 10.0, 24.5, 40.0], "ol04j0a0J17[OB3mg1"),
        (28, 2, [50.1, 40.2, 75.0, 46.9], "fZ2211W1OiN2W14OJkNO00U11jN01OU12jNNZ11fN0X10hN000W1OiN4W1MiNO00X10iN2O"),
        (
            28,
            5,
            [20.0, 10.0, 24.5, 40.0],
            "Vl046200>K^O1O00O110O01OO1001a01^OO001OO1001O00O1`01E310>M^O1OO20O0>1@M0031MO0056md1",
        ),
    ];
    for (count, key, bounds, expected) in cases {
        let values = cells(count, key);
        let masks = Masks { frame: MaskFrame::Box, height: count, width: count, values: &values };
        let candidate = Candidate { bounds, score: 1.0, class: 0, row: 0 };
        let mask = masks.mask(&candidate, bounds, &picture()).expect("the first of one");
        assert_eq!(json(&mask)["counts"], expected, "{count} cells, {bounds:?}");
    }
}

proptest! {
    #[test]
    fn every_pixel_is_what_lies_between_its_cells(
        values in prop::collection::vec(0.0_f32..1.0, 30),
        bounds in [-20_i64..30, -20_i64..30],
        lengths in [0_i64..70, 0_i64..70],
    ) {
        let across = Samples::in_box([bounds[0], bounds[0] + lengths[0]], 5, 40);
        let down = Samples::in_box([bounds[1], bounds[1] + lengths[1]], 6, 30);
        let mask = paste(&values, 5, &across, &down, [30, 40], 0.5);
        // along each axis the place of a pixel's centre among the cells, cut off at their middles
        let place = |pixel: i64, axis: usize, cells: f64| {
            let inside = (pixel - bounds[axis]) as f64 + 0.5;
            let reaches = inside > 0.0 && inside < lengths[axis] as f64 + 1.0;
            reaches.then(|| (inside * cells / (lengths[axis] + 1) as f64 - 0.5).clamp(0.0, cells - 1.0))
        };
        let value = |x: f64, y: f64| {
            let cell = |row: f64, column: f64| f64::from(values[(row.min(5.0) * 5.0 + column.min(4.0)) as usize]);
            let along = |row: f64| cell(row, x.floor()) * (1.0 - x.fract()) + cell(row, x.floor() + 1.0) * x.fract();
            along(y.floor()) * (1.0 - y.fract()) + along(y.floor() + 1.0) * y.fract()
        };
        let spans: Vec<_> = mask.spans().collect();
        for (row, column) in (0..30).flat_map(|row| (0..40).map(move |column| (row, column))) {
            let expected = place(column, 0, 5.0).zip(place(row, 1, 6.0)).map_or(0.0, |(x, y)| value(x, y));
            let covered = spans.iter().any(|[x, top, bottom]| i64::from(*x) == column && (*top..*bottom).contains(&(row as u32)));
            prop_assert!(covered == (expected >= 0.5) || (expected - 0.5).abs() < 1e-5, "({column}, {row}): {expected}");
        }
    }
}

#[test]
fn the_inputs_mask_is_carried_back_and_cut_at_the_box() {
    // a picture of 128 by 64 pixels, half as large in the tensor, 16 pixels down; its right half is covered
    let letterbox = Resize::Letterbox { align: Align::Center, fill: [0; 3] };
    let source = Source { geometry: Geometry::new(&letterbox, [64, 64], 128, 64), width: 128, height: 64 };
    let values: Vec<f32> = (0..64 * 64).map(|at| if at % 64 < 32 { 0.0 } else { 1.0 }).collect();
    let masks = Masks { frame: MaskFrame::Input, height: 64, width: 64, values: &values };
    let candidate = Candidate { bounds: [0.0; 4], score: 1.0, class: 0, row: 0 };
    let mask = masks.mask(&candidate, [40.0, 10.5, 80.0, 20.0], &source).expect("the first of one");
    let expected: Vec<_> = (64..80).map(|column| [column, 10, 20]).collect();
    assert_eq!(mask.spans().collect::<Vec<_>>(), expected);
}

#[test]
fn boxes_of_any_size_give_masks_of_the_picture() {
    let values = vec![1.0; 16];
    let masks = Masks { frame: MaskFrame::Box, height: 4, width: 4, values: &values };
    let candidate = Candidate { bounds: [0.0; 4], score: 1.0, class: 0, row: 0 };
    for bounds in [[-3e38, -3e38, 3e38, 3e38], [1e30, 1e30, 2e30, 2e30], [5.0, 5.0, 4.0, 4.0], [-9.0, -9.0, -3.0, -3.0]]
    {
        let mask = masks.mask(&candidate, bounds, &picture()).expect("the first of one");
        assert!(mask.spans().all(|[column, top, bottom]| column < 61 && top < bottom && bottom <= 47), "{bounds:?}");
    }
    assert_eq!(masks.mask(&Candidate { row: 1, ..candidate }, [0.0; 4], &picture()), None);
}
