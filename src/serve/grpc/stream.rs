//! Many requests on one stream, answered in their order, a bounded number of them at a time.

use std::sync::Arc;

use futures_util::stream::try_unfold;
use futures_util::{Stream, StreamExt};
use tonic::{Status, Streaming};

use super::call::Call;
use crate::error::{ErrorKind, InferError, Rejection};
use crate::infer::Engine;

/// Answers each of `messages` by `answer`, in their order. While `in_flight` of them are being answered, or their answers wait for
/// the client, no further one is read. Once the server takes nothing new, what has come is answered, and the stream ends.
pub(super) fn answered<M, A, F>(
    engine: &Arc<Engine>,
    call: Call,
    messages: Streaming<M>,
    in_flight: usize,
    answer: impl Fn(M) -> F + Send + 'static,
) -> impl Stream<Item = Result<A, Status>> + Send + 'static
where
    M: Send + 'static,
    A: Send + 'static,
    F: Future<Output = A> + Send + 'static,
{
    let end = call.stream.clone();
    let answered = taken(Arc::clone(engine), call, messages).map(move |message| {
        let (end, answered) = (end.clone(), message.map(&answer));
        async move {
            let answered = answered?;
            Ok(end.bound(async { Ok(answered.await) }).await?)
        }
    });
    answered.buffered(in_flight)
}

/// The messages that are taken; at the end of the stream's time or of the server's, why no more are.
fn taken<M: Send + 'static>(
    engine: Arc<Engine>,
    call: Call,
    messages: Streaming<M>,
) -> impl Stream<Item = Result<M, Status>> + Send + 'static {
    try_unfold((engine, call, messages), async |(engine, call, mut messages)| {
        let next = async {
            tokio::select! {
                // what has come is read before the end is looked at
                biased;
                message = messages.message() => Ok(message),
                () = engine.shutdown.draining() => Ok(Err(stopping())),
            }
        };
        let message = call.stream.bound(next).await??;
        Ok(message.map(|message| (message, (engine, call, messages))))
    })
}

/// What ends a stream that is open when the server stops.
pub(super) fn stopping() -> Status {
    let message = "the server is stopping; open the stream again";
    InferError::new(ErrorKind::Unavailable, message).because(Rejection::Draining).into()
}
