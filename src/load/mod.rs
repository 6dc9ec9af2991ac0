//! Loads a server and tells how it bears it: closed loops of clients that wait for each answer, open loops at a given rate, and a search
//! for the rate up to which it keeps up. `cenet-serve bench` and the benchmark of the project itself are built of it.
//!
//! ```text
//! drive (closed, open) -> Target (HTTP, gRPC)
//!   │                       knee: which rate to try next
//!   └> Tally -> Summary -> report (table, JSON, HTML)
//! ```

mod client;
mod drive;
mod knee;
mod pictures;
pub mod report;
mod tally;

pub use client::{Failure, GrpcTarget, HttpTarget, Question, Target};
pub use drive::{Control, closed_loop, open_loop};
pub use knee::{Bounds, Search, Verdict};
pub use pictures::{drawn_picture, read_pictures};
pub use tally::{Percentiles, Summary, Tally};
