//! What the program tells about itself to those who run it: its log, and traces of its requests. The only room that names
//! OpenTelemetry.
//!
//! A request's spans are written when what they tell of is over, with the times that were taken anyhow: nothing is open meanwhile, and a
//! request whose trace isn't recorded costs a trace's number and its text.

mod export;
mod log;
mod parent;
mod span;
mod stage;
mod trace;
mod tracer;

pub use log::{LogControl, start};
pub use parent::Parent;
pub use span::Span;
pub use stage::Stage;
pub use trace::Trace;
pub use tracer::Tracer;
