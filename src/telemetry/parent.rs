//! The trace that a request says it belongs to: W3C Trace Context's headers `traceparent` and `tracestate`.

use std::str::FromStr;

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Bytes of `tracestate` that are kept; a longer one is left out, as the standard allows.
const MAX_STATE_BYTES: usize = 512;

/// The caller's span.
#[derive(Debug, Clone, PartialEq)]
pub struct Parent(pub(super) SpanContext);

impl Parent {
    /// What the headers say; none when `traceparent` is malformed. What is wrong with `tracestate` is left out.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let (version, rest) = traceparent.split_at_checked(2)?;
        let (fields, further) = rest.split_at_checked(53)?;
        let known = match hex(version)? {
            0 => further.is_empty(),
            255 => false,
            _ => further.is_empty() || further.starts_with('-'),
        };
        let [trace_id, span_id, flags] = fields.strip_prefix('-')?.split('-').collect::<Vec<_>>().try_into().ok()?;
        if !known || [trace_id.len(), span_id.len(), flags.len()] != [32, 16, 2] {
            return None;
        }
        let span_id = SpanId::from(u64::try_from(hex(span_id)?).ok()?);
        let flags = TraceFlags::new(u8::try_from(hex(flags)?).ok()?) & TraceFlags::SAMPLED;
        let state = tracestate.filter(|text| text.len() <= MAX_STATE_BYTES).map(TraceState::from_str);
        let state = state.and_then(Result::ok).unwrap_or_default();
        let context = SpanContext::new(TraceId::from(hex(trace_id)?), span_id, flags, true, state);
        context.is_valid().then_some(Self(context))
    }
}

/// Lower-case digits alone.
fn hex(digits: &str) -> Option<u128> {
    let lower_case = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if lower_case { u128::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn a_span_of_a_trace_is_read_whole() {
        let Parent(context) =
            Parent::parse(&format!("00-{TRACE}-b7ad6b7169203331-01"), Some("vendor=1,other=x")).expect("valid");
        assert_eq!(context.trace_id().to_string(), TRACE);
        assert_eq!(context.span_id().to_string(), "b7ad6b7169203331");
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(context.trace_state().header(), "vendor=1,other=x");
    }

    #[test]
    fn what_the_standard_refuses_is_refused() {
        let parsed = |text: &str| Parent::parse(text, None).map(|Parent(context)| context.is_sampled());
        let cases = [
            (format!("00-{TRACE}-b7ad6b7169203331-00"), Some(false)),
            (format!("00-{TRACE}-b7ad6b7169203331-03"), Some(true)),
            (format!("01-{TRACE}-b7ad6b7169203331-01-later"), Some(true)),
            (format!("00-{TRACE}-b7ad6b7169203331-01-later"), None),
            (format!("01-{TRACE}-b7ad6b7169203331-01later"), None),
            (format!("ff-{TRACE}-b7ad6b7169203331-01"), None),
            (format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)), None),
            (format!("00-{TRACE}-{}-01", "0".repeat(16)), None),
            (format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()), None),
            (format!("00-{TRACE}-b7ad6b716920333-001"), None),
            (format!("00-+{}-b7ad6b7169203331-01", &TRACE[1..]), None),
            (format!("00-{TRACE}-b7ad6b7169203331"), None),
            ("00-\u{e4}".repeat(20), None),
            (String::new(), None),
        ];
        for (text, expected) in cases {
            assert_eq!(parsed(&text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_bad_state_is_left_out() {
        for state in ["no pair".to_owned(), format!("a={}", "x".repeat(MAX_STATE_BYTES))] {
            let Parent(context) =
                Parent::parse(&format!("00-{TRACE}-b7ad6b7169203331-01"), Some(&state)).expect("valid");
            assert_eq!(context.trace_state(), &TraceState::NONE, "{state:?}");
        }
    }
}
