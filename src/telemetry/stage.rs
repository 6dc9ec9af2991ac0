//! The stages of a picture's way, as metrics, answers and traces name them.

/// A part of a picture's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// File to pixels.
    Decode,
    /// Pixels to tensor.
    Preprocess,
    /// Waiting for the network.
    Queue,
    /// The network.
    Inference,
    /// Outputs to labels.
    Postprocess,
}

impl Stage {
    /// Each of them, in their order.
    pub const ALL: [Self; 5] = [Self::Decode, Self::Preprocess, Self::Queue, Self::Inference, Self::Postprocess];

    /// The stage's name in metrics, answers and traces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Preprocess => "preprocess",
            Self::Queue => "queue",
            Self::Inference => "inference",
            Self::Postprocess => "postprocess",
        }
    }
}
