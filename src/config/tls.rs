//! TLS.

use std::path::PathBuf;

/// Encryption of every connection.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsOptions {
    /// PEM file of the server's certificate and those that lead to its signer; both ports speak TLS then. Read anew when it changes
    #[arg(long, env = "CENET_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// PEM file of the certificate's private key
    #[arg(long, env = "CENET_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// PEM file of those who sign clients' certificates; a client without one is turned away
    #[arg(long, env = "CENET_TLS_CLIENT_CA", value_name = "FILE", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,
}
