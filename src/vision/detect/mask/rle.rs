//! COCO's run-length encoding.

use serde::ser::{Serialize, SerializeStruct, Serializer};
use utoipa::ToSchema;

/// The pixels that a detection covers, as COCO writes them: `{"size": [height, width], "counts": "..."}`.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
pub struct Mask {
    /// Height and width of the picture.
    size: [u32; 2],
    /// Pixels in a row that aren't covered, then that are, and so on, down the columns from the left one on.
    #[schema(rename = "counts", value_type = String)]
    runs: Vec<u64>,
    /// Where the last run ends.
    #[schema(ignore)]
    end: u64,
}

impl Mask {
    /// A mask of a picture of `size`, height and width, that covers nothing yet.
    pub(in crate::vision) fn new(size: [u32; 2]) -> Self {
        Self { size, runs: Vec::new(), end: 0 }
    }

    /// Covers the rows from `top` to before `bottom` in a column. Spans come column by column, from top to bottom.
    pub(in crate::vision) fn cover(&mut self, column: u32, top: u32, bottom: u32) {
        let place = |row: u32| u64::from(column) * u64::from(self.size[0]) + u64::from(row);
        let (from, to) = (place(top), place(bottom));
        match self.runs.last_mut() {
            Some(last) if self.end == from => *last += to - from,
            _ => self.runs.extend([from - self.end, to - from]),
        }
        self.end = to;
    }

    /// Height and width of the picture.
    pub fn size(&self) -> [u32; 2] {
        self.size
    }

    /// Column, first row and row after the last of what is covered, column by column.
    pub fn spans(&self) -> impl Iterator<Item = [u32; 3]> {
        let height = u64::from(self.size[0]);
        let mut at = 0;
        let covered = self.runs.as_chunks::<2>().0.iter().map(move |[skipped, covered]| {
            let from = at + skipped;
            at = from + covered;
            from..at
        });
        covered.flat_map(move |run| {
            (run.start / height..run.end.div_ceil(height)).map(move |column| {
                let first = column * height;
                let rows = run.start.max(first) - first..run.end.min(first + height) - first;
                [column as u32, rows.start as u32, rows.end as u32]
            })
        })
    }

    /// The runs as COCO writes them.
    pub fn compressed(&self) -> String {
        compressed(&self.counts())
    }

    /// The runs as COCO counts them: from an uncovered one, if of no length, to the picture's end.
    fn counts(&self) -> Vec<u64> {
        let total = u64::from(self.size[0]) * u64::from(self.size[1]);
        let mut counts = self.runs.clone();
        if self.end < total || counts.is_empty() {
            counts.push(total - self.end);
        }
        counts
    }
}

impl Serialize for Mask {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Mask", 2)?;
        fields.serialize_field("size", &self.size)?;
        fields.serialize_field("counts", &self.compressed())?;
        fields.end()
    }
}

/// Each count, from the fourth on as its difference from the last but one, in groups of five bits with the lowest first. A group's
/// sixth bit says that more follow, and 48 is added to make it a letter.
fn compressed(counts: &[u64]) -> String {
    let mut text = String::new();
    for (index, count) in counts.iter().enumerate() {
        let mut rest = *count as i64 - if index > 2 { counts[index - 2] as i64 } else { 0 };
        loop {
            let group = (rest & 0x1f) as u8;
            rest >>= 5;
            // the last group's fifth bit is the sign
            let more = rest != if group & 0x10 == 0 { 0 } else { -1 };
            text.push(char::from((group | if more { 0x20 } else { 0 }) + 48));
            if !more {
                break;
            }
        }
    }
    text
}

/// What [`compressed`] was made of; none for a text that it doesn't make.
#[cfg(test)]
pub(super) fn decompressed(text: &str) -> Option<Vec<u64>> {
    let mut counts: Vec<i64> = Vec::new();
    let mut letters = text.bytes();
    while let Some(first) = letters.next() {
        let (mut letter, mut count, mut shift) = (first.checked_sub(48)?, 0_i64, 0);
        loop {
            count |= i64::from(letter & 0x1f) << shift;
            shift += 5;
            if letter & 0x20 == 0 {
                break;
            }
            letter = letters.next()?.checked_sub(48)?;
        }
        if letter & 0x10 != 0 {
            count |= -1 << shift;
        }
        let before = if counts.len() > 2 { counts[counts.len() - 2] } else { 0 };
        counts.push(count + before);
    }
    counts.into_iter().map(|count| u64::try_from(count).ok()).collect()
}

#[cfg(test)]
pub(super) fn text(counts: &[u64]) -> String {
    compressed(counts)
}
