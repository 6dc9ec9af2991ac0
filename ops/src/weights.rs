//! A matrix in 16 bits a number, each row with a scale of its own: half the memory to read. For matrices that are read once a run, and whose
//! reading takes longer than their multiplication.

/// The numbers of a row are `scale` times whole numbers up to this.
const LARGEST: f32 = i16::MAX as f32;

/// A row-major matrix; each number is off by at most 1/65534 of its row's largest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weights {
    columns: usize,
    scales: Vec<f32>,
    numbers: Vec<i16>,
}

impl Weights {
    /// Rounds `matrix`, of rows of `columns` numbers.
    pub(crate) fn new(matrix: &[f32], columns: usize) -> Self {
        let rows = matrix.chunks_exact(columns.max(1));
        let scales: Vec<f32> = rows.clone().map(scale).collect();
        let mut numbers = Vec::with_capacity(matrix.len());
        for (row, scale) in rows.zip(&scales) {
            numbers.extend(row.iter().map(|number| rounded(number / scale)));
        }
        Self { columns, scales, numbers }
    }

    /// Row `index`: its scale, and its numbers in units of that.
    pub(crate) fn row(&self, index: usize) -> (f32, &[i16]) {
        (self.scales[index], &self.numbers[index * self.columns..][..self.columns])
    }

    /// The numbers of some rows.
    pub(crate) fn rows(&self, rows: std::ops::Range<usize>) -> &[i16] {
        &self.numbers[rows.start * self.columns..rows.end * self.columns]
    }

    /// How many numbers.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }
}

/// The nearest whole number to one of at most [`LARGEST`]; 0 for what is none. Every processor adds a few of these at once, which isn't so of
/// `f32::round`.
fn rounded(number: f32) -> i16 {
    /// Numbers from here on have no places behind the point.
    const WHOLE: f32 = (3 << 22) as f32;
    ((number + WHOLE) - WHOLE) as i16
}

/// What is no number makes its whole row so.
fn scale(row: &[f32]) -> f32 {
    let larger = |largest: f32, number: &f32| if number.abs() <= largest { largest } else { number.abs() };
    let largest = row.iter().fold(0.0, larger);
    let known = row.iter().all(|number| !number.is_nan());
    match largest {
        _ if !known => f32::NAN,
        0.0 => 1.0,
        largest => largest / LARGEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_to_a_part_of_the_rows_largest() {
        let matrix = [1.0, -0.3333, 1e-6, 5000.0, 1234.5, -0.5, 0.0, 0.0, 0.0];
        let weights = Weights::new(&matrix, 3);
        for (index, row) in matrix.chunks_exact(3).enumerate() {
            let (scale, numbers) = weights.row(index);
            let largest = row.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
            for (number, kept) in row.iter().zip(numbers) {
                assert!((number - scale * f32::from(*kept)).abs() <= largest / 65_000.0, "{row:?}: {numbers:?}");
            }
        }
        assert!(Weights::new(&[f32::NAN, 1.0], 2).row(0).0.is_nan());
        assert!(Weights::new(&[1.0, f32::INFINITY], 2).row(0).0.is_infinite());
    }
}
