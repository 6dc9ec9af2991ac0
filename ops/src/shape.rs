//! The operator's sizes, checked once.

use crate::ShapeError;

/// The shape of each of the operator's inputs; -1 is a length not known yet.
#[derive(Debug, Clone, Copy)]
pub struct InputShapes<'a> {
    /// `[N, C, H, W]`
    pub x: &'a [i64],
    /// `[G, d, d]`
    pub whitening: &'a [i64],
    /// `[C/r, C]`
    pub fc1: &'a [i64],
    /// `[C/r]`
    pub ln_scale: &'a [i64],
    /// `[C/r]`
    pub ln_bias: &'a [i64],
    /// `[C, C/r]`
    pub fc2: &'a [i64],
}

/// The operator's sizes, known to fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Samples, N.
    pub batch: usize,
    /// Groups of channels, G.
    pub groups: usize,
    /// Channels a group, d.
    pub group_width: usize,
    /// Pixels a channel, H * W; at least 2.
    pub pixels: usize,
    /// Length of the gate's hidden vector, C/r.
    pub hidden: usize,
}

impl Shape {
    /// The sizes that `shapes` stand for; every length must be known.
    ///
    /// # Errors
    /// [`ShapeError`] when they don't fit together.
    pub fn new(shapes: InputShapes<'_>) -> Result<Self, ShapeError> {
        shapes.check()?;
        let [batch, _, height, width] = lengths("X", shapes.x)?;
        let [groups, group_width, _] = lengths("whitening", shapes.whitening)?;
        let [hidden] = lengths("ln_scale", shapes.ln_scale)?;
        Ok(Self { batch, groups, group_width, pixels: height * width, hidden })
    }

    /// Channels, `G * d`.
    pub fn channels(&self) -> usize {
        self.groups * self.group_width
    }

    /// Numbers of one sample, `C * H * W`.
    pub fn sample_len(&self) -> usize {
        self.channels() * self.pixels
    }

    /// Checks the length of X's or Y's buffer.
    ///
    /// # Errors
    /// [`ShapeError::Buffer`] when it isn't that of `[N, C, H, W]`.
    pub(crate) fn check_buffer(&self, input: &'static str, actual: usize) -> Result<(), ShapeError> {
        let expected = self.batch * self.sample_len();
        if actual == expected { Ok(()) } else { Err(ShapeError::Buffer { input, expected, actual }) }
    }
}

impl InputShapes<'_> {
    /// Checks what is known.
    ///
    /// # Errors
    /// [`ShapeError`] naming the first input that doesn't fit.
    pub fn check(&self) -> Result<(), ShapeError> {
        let [_, channels, height, width] = dimensions("X", self.x)?;
        let [groups, group_width, _] = dimensions("whitening", self.whitening)?;
        let [hidden, _] = dimensions("fc1", self.fc1)?;
        expect("whitening", self.whitening, [groups, group_width, group_width])?;
        if let [Some(channels), Some(groups), Some(group_width)] = [channels, groups, group_width]
            && (channels == 0 || channels != groups * group_width)
        {
            return Err(ShapeError::Groups { channels, groups, group_width });
        }
        expect("fc1", self.fc1, [hidden, channels])?;
        expect("ln_scale", self.ln_scale, [hidden])?;
        expect("ln_bias", self.ln_bias, [hidden])?;
        expect("fc2", self.fc2, [channels, hidden])?;
        match [height, width] {
            [Some(height), Some(width)] if height * width < 2 => Err(ShapeError::Pixels { pixels: height * width }),
            _ => Ok(()),
        }
    }
}

/// Each axis' length, none where it isn't known yet.
fn dimensions<const N: usize>(input: &'static str, shape: &[i64]) -> Result<[Option<usize>; N], ShapeError> {
    let known: Vec<_> = shape.iter().map(|&length| usize::try_from(length).ok()).collect();
    known.try_into().map_err(|_| ShapeError::Rank { input, expected: N, actual: shape.to_vec() })
}

fn lengths<const N: usize>(input: &'static str, shape: &[i64]) -> Result<[usize; N], ShapeError> {
    let known = dimensions::<N>(input, shape)?;
    if known.iter().all(Option::is_some) {
        return Ok(known.map(Option::unwrap_or_default));
    }
    Err(ShapeError::Length { input, expected: "without an open length".into(), actual: shape.to_vec() })
}

/// Lengths known on both sides must be equal.
fn expect<const N: usize>(input: &'static str, shape: &[i64], expected: [Option<usize>; N]) -> Result<(), ShapeError> {
    let actual = dimensions::<N>(input, shape)?;
    let differ = |(actual, expected): (&Option<usize>, &Option<usize>)| {
        actual.zip(*expected).is_some_and(|(actual, expected)| actual != expected)
    };
    if !actual.iter().zip(&expected).any(differ) {
        return Ok(());
    }
    let text: Vec<_> = expected.iter().map(|length| length.map_or("?".into(), |length| length.to_string())).collect();
    Err(ShapeError::Length { input, expected: format!("[{}]", text.join(", ")), actual: shape.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: InputShapes<'_> = InputShapes {
        x: &[2, 6, 3, 5],
        whitening: &[2, 3, 3],
        fc1: &[2, 6],
        ln_scale: &[2],
        ln_bias: &[2],
        fc2: &[6, 2],
    };

    #[test]
    fn sizes_that_fit() {
        let expected = Shape { batch: 2, groups: 2, group_width: 3, pixels: 15, hidden: 2 };
        assert_eq!(Shape::new(GOOD), Ok(expected));
        assert_eq!(InputShapes { x: &[-1, 6, -1, -1], ..GOOD }.check(), Ok(()), "open lengths are checked later");
    }

    #[test]
    fn sizes_that_do_not_fit_are_named() {
        let cases = [
            (InputShapes { x: &[2, 6, 15], ..GOOD }, "X must have 4 axes"),
            (InputShapes { x: &[2, 7, 3, 5], ..GOOD }, "7 channels, whitening is for 2 groups of 3"),
            (InputShapes { x: &[2, 6, 1, 1], ..GOOD }, "at least 2"),
            (InputShapes { x: &[-1, 6, 1, 1], ..GOOD }, "at least 2"),
            (InputShapes { whitening: &[2, 3, 4], ..GOOD }, "whitening must have shape [2, 3, 3]"),
            (InputShapes { fc1: &[2, 5], ..GOOD }, "fc1 must have shape [2, 6]"),
            (InputShapes { ln_scale: &[3], ..GOOD }, "ln_scale must have shape [2]"),
            (InputShapes { ln_bias: &[3], ..GOOD }, "ln_bias must have shape [2]"),
            (InputShapes { fc2: &[2, 6], ..GOOD }, "fc2 must have shape [6, 2]"),
        ];
        for (shapes, expected) in cases {
            let message = shapes.check().expect_err(expected).to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert!(Shape::new(InputShapes { x: &[-1, 6, 3, 5], ..GOOD }).is_err(), "to run, all must be known");
    }
}
