//! Why tensors don't fit the operator.

/// Tensors whose shapes don't fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A tensor has the wrong number of axes.
    #[error("{input} must have {expected} axes, its shape is {actual:?}")]
    Rank {
        /// The operator's input.
        input: &'static str,
        /// How many axes it must have.
        expected: usize,
        /// The shape it has.
        actual: Vec<i64>,
    },
    /// A tensor has a wrong length along an axis.
    #[error("{input} must have shape {expected}, its shape is {actual:?}")]
    Length {
        /// The operator's input.
        input: &'static str,
        /// The shape it must have.
        expected: String,
        /// The shape it has.
        actual: Vec<i64>,
    },
    /// The groups don't make up the channels.
    #[error("X has {channels} channels, whitening is for {groups} groups of {group_width}")]
    Groups {
        /// Channels of X.
        channels: usize,
        /// Groups of the whitening.
        groups: usize,
        /// Channels a group.
        group_width: usize,
    },
    /// The variance over the pixels isn't defined.
    #[error("X has {pixels} pixel a channel; the unbiased variance needs at least 2: use a larger input")]
    Pixels {
        /// Height times width of X.
        pixels: usize,
    },
    /// A buffer doesn't hold what its shape says.
    #[error("{input} holds {actual} numbers, its shape asks for {expected}")]
    Buffer {
        /// The operator's input or output.
        input: &'static str,
        /// Numbers that its shape asks for.
        expected: usize,
        /// Numbers that it holds.
        actual: usize,
    },
}
