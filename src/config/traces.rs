//! Where traces go, and of how many requests.

/// Where traces go, and of how many requests.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Traces")]
pub struct TraceOptions {
    /// OpenTelemetry collector that traces are sent to by gRPC, such as http://localhost:4317 [default: none are sent]
    #[arg(long, env = "CENET_OTLP_ENDPOINT", value_name = "URL", value_parser = collector)]
    pub otlp_endpoint: Option<String>,

    /// Share of requests that are traced, from 0 to 1; a request whose traceparent says whether it is traced does as that says
    #[arg(long, env = "CENET_TRACE_SAMPLING", value_name = "SHARE", default_value_t = 1.0, value_parser = share)]
    pub trace_sampling: f64,
}

fn collector(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("http://").filter(|host| !host.is_empty());
    host.map(|_| text.to_owned()).ok_or_else(|| format!("{text:?} is not http://HOST:PORT"))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("{text:?} is no number from 0 to 1"))
}
