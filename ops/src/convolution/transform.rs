//! The transforms of Winograd's convolution, as Lavin and Gray give them ("Fast Algorithms for Convolutional Neural Networks", CVPR 2016).
//!
//! `OUT * OUT` results of a 3x3 filter are made of `IN * IN` pixels (at strides of 1 `IN = OUT + 2`). With `d` the pixels and `g` the filter, they are
//! `A' [(G g G') * (B' d B)] A`, `*` number by number: `IN * IN` products instead of `9 * OUT * OUT`.

#![expect(clippy::undocumented_unsafe_blocks, reason = "each function passes its caller's contract on to Vector")]

use crate::vector::Vector;

/// The transforms of one size, each of a line; a square takes them down its columns, then along its rows.
pub(super) trait Transform<const IN: usize, const OUT: usize> {
    /// `G`
    const FILTER: [&'static [f64]; IN];

    /// `B'`
    ///
    /// # Safety
    /// As of [`Vector`].
    unsafe fn pixels<V: Vector>(line: [V; IN]) -> [V; IN];

    /// `A'`
    ///
    /// # Safety
    /// As of [`Vector`].
    unsafe fn results<V: Vector>(line: [V; IN]) -> [V; OUT];
}

/// The definition: one result.
pub(super) struct One;

impl Transform<3, 1> for One {
    const FILTER: [&'static [f64]; 3] = [&[1.0, 0.0, 0.0], &[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0]];

    #[inline(always)]
    unsafe fn pixels<V: Vector>(line: [V; 3]) -> [V; 3] {
        line
    }

    #[inline(always)]
    unsafe fn results<V: Vector>([a, b, c]: [V; 3]) -> [V; 1] {
        unsafe { [a.add(b).add(c)] }
    }
}

/// F(2x2, 3x3): 2.25 times fewer products.
pub(super) struct Two;

impl Transform<4, 2> for Two {
    const FILTER: [&'static [f64]; 4] = [&[1.0, 0.0, 0.0], &[0.5, 0.5, 0.5], &[0.5, -0.5, 0.5], &[0.0, 0.0, 1.0]];

    #[inline(always)]
    unsafe fn pixels<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 4] {
        unsafe { [a.sub(c), b.add(c), c.sub(b), b.sub(d)] }
    }

    #[inline(always)]
    unsafe fn results<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 2] {
        unsafe { [a.add(b).add(c), b.sub(c).sub(d)] }
    }
}

/// F(2x2, 3x3) at strides of 2: 1.44 times fewer products. Results `w0 e0 + w1 o0 + w2 e1` and `w0 e1 + w1 o1 + w2 e2` of the even and the odd pixels are
/// F(2, 2) of the even and the definition of the odd.
pub(super) struct StridedTwo;

impl Transform<5, 2> for StridedTwo {
    const FILTER: [&'static [f64]; 5] =
        [&[1.0, 0.0, 0.0], &[1.0, 0.0, 1.0], &[0.0, 0.0, 1.0], &[0.0, 1.0, 0.0], &[0.0, 1.0, 0.0]];

    #[inline(always)]
    unsafe fn pixels<V: Vector>([a, b, c, d, e]: [V; 5]) -> [V; 5] {
        unsafe { [a.sub(c), c, e.sub(c), b, d] }
    }

    #[inline(always)]
    unsafe fn results<V: Vector>([a, b, c, d, e]: [V; 5]) -> [V; 2] {
        unsafe { [a.add(b).add(d), b.add(c).add(e)] }
    }
}

/// F(3x3, 3x3): 3.2 times fewer products, by the points 0, 1, -1, 2.
pub(super) struct Three;

impl Transform<5, 3> for Three {
    const FILTER: [&'static [f64]; 5] = [
        &[1.0 / 2.0, 0.0, 0.0],
        &[-1.0 / 2.0, -1.0 / 2.0, -1.0 / 2.0],
        &[-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        &[1.0 / 6.0, 1.0 / 3.0, 2.0 / 3.0],
        &[0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    unsafe fn pixels<V: Vector>([a, b, c, d, e]: [V; 5]) -> [V; 5] {
        unsafe {
            let (two, minus_two) = (V::splat(2.0), V::splat(-2.0));
            let (apart, next) = (d.sub(b), d.sub(c));
            [
                a.sub(c).mul_add(two, apart),
                b.mul_add(minus_two, next),
                b.sub(c).mul_add(two, next),
                apart,
                apart.mul_add(minus_two, e.sub(c)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn results<V: Vector>([a, b, c, d, e]: [V; 5]) -> [V; 3] {
        unsafe {
            let (sum, difference) = (b.add(c), b.sub(c));
            [a.add(sum).add(d), d.mul_add(V::splat(2.0), difference), d.mul_add(V::splat(4.0), sum.add(e))]
        }
    }
}

/// F(4x4, 3x3): 4 times fewer products, by the points 0, 1, -1, 2, -2.
pub(super) struct Four;

impl Transform<6, 4> for Four {
    const FILTER: [&'static [f64]; 6] = [
        &[1.0 / 4.0, 0.0, 0.0],
        &[-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        &[-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        &[1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        &[1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        &[0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    unsafe fn pixels<V: Vector>([a, b, c, d, e, f]: [V; 6]) -> [V; 6] {
        unsafe {
            let (two, minus_four, minus_five, four) = (V::splat(2.0), V::splat(-4.0), V::splat(-5.0), V::splat(4.0));
            let (even, odd) = (c.mul_add(minus_four, e), b.mul_add(minus_four, d));
            let (near, far) = (e.sub(c), d.sub(b));
            [
                a.mul_add(four, c.mul_add(minus_five, e)),
                even.add(odd),
                even.sub(odd),
                far.mul_add(two, near),
                near.sub(far.add(far)),
                b.mul_add(four, d.mul_add(minus_five, f)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn results<V: Vector>([a, b, c, d, e, f]: [V; 6]) -> [V; 4] {
        unsafe {
            let (sum, difference) = (b.add(c), b.sub(c));
            let (far_sum, far_difference) = (d.add(e), d.sub(e));
            [
                a.add(sum).add(far_sum),
                far_difference.mul_add(V::splat(2.0), difference),
                far_sum.mul_add(V::splat(4.0), sum),
                far_difference.mul_add(V::splat(8.0), difference.add(f)),
            ]
        }
    }
}

/// F(4x4, 4x4), by the points 0, 1, -1, 1/2, -1/2, 2: 5.2 times fewer products.
pub(super) struct Stem;

impl Transform<7, 4> for Stem {
    const FILTER: [&'static [f64]; 7] = [
        &[-2.0, 0.0, 0.0, 0.0],
        &[-2.0 / 3.0, -2.0 / 3.0, -2.0 / 3.0, -2.0 / 3.0],
        &[-2.0 / 9.0, 2.0 / 9.0, -2.0 / 9.0, 2.0 / 9.0],
        &[16.0 / 9.0, 8.0 / 9.0, 4.0 / 9.0, 2.0 / 9.0],
        &[16.0 / 15.0, -8.0 / 15.0, 4.0 / 15.0, -2.0 / 15.0],
        &[2.0 / 45.0, 4.0 / 45.0, 8.0 / 45.0, 16.0 / 45.0],
        &[0.0, 0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    unsafe fn pixels<V: Vector>([a, b, c, d, e, f, g]: [V; 7]) -> [V; 7] {
        unsafe {
            let (minus_two, half, minus_half) = (V::splat(-2.0), V::splat(0.5), V::splat(-0.5));
            let (quarter, minus_quarter, minus_five_quarters) = (V::splat(0.25), V::splat(-0.25), V::splat(-1.25));
            // by x^4 - 5/4 x^2 + 1/4, whose zeros are 1, -1, 1/2 and -1/2
            let all = [[a, c, e], [b, d, f], [c, e, g]]
                .map(|[low, middle, high]| low.mul_add(quarter, middle.mul_add(minus_five_quarters, high)));
            // by x^2 - 1/4, and by x^2 - 1; then by x - 2
            let [far_b, far_c, far_d] = [[b, d], [c, e], [d, f]].map(|[low, high]| low.mul_add(minus_quarter, high));
            let [near_b, near_c, near_d] = [[b, d], [c, e], [d, f]].map(|[low, high]| high.sub(low));
            let (far, far_next) = (far_b.mul_add(minus_two, far_c), far_c.mul_add(minus_two, far_d));
            let (near, near_next) = (near_b.mul_add(minus_two, near_c), near_c.mul_add(minus_two, near_d));
            [
                all[0].mul_add(minus_two, all[1]),
                far_next.add(far),
                far_next.sub(far),
                near.mul_add(half, near_next),
                near.mul_add(minus_half, near_next),
                all[1],
                all[1].mul_add(minus_two, all[2]),
            ]
        }
    }

    #[inline(always)]
    unsafe fn results<V: Vector>([a, b, c, d, e, f, g]: [V; 7]) -> [V; 4] {
        unsafe {
            let (sum, difference) = (b.add(c), b.sub(c));
            let (near_sum, near_difference) = (d.add(e), d.sub(e));
            [
                a.add(sum).add(near_sum.add(f)),
                near_difference.mul_add(V::splat(0.5), f.mul_add(V::splat(2.0), difference)),
                near_sum.mul_add(V::splat(0.25), f.mul_add(V::splat(4.0), sum)),
                near_difference.mul_add(V::splat(0.125), f.mul_add(V::splat(8.0), difference.add(g))),
            ]
        }
    }
}
