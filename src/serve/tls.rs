//! TLS at every door: the server's certificate and, where clients are to show one, who signs theirs; read anew when a file changes.

use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::changes::Changes;
use crate::config::TlsOptions;

/// Answers handshakes.
#[derive(Debug)]
pub(super) struct Tls {
    options: TlsOptions,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// As `options` say; none where they name no certificate.
    ///
    /// # Errors
    /// A sentence that names the file that can't be used.
    pub(super) fn of(options: &TlsOptions) -> Result<Option<Arc<Self>>, String> {
        let Some(read) = read(options) else { return Ok(None) };
        Ok(Some(Arc::new(Self { options: options.clone(), current: RwLock::new(read?) })))
    }

    /// The handshake with a client.
    ///
    /// # Errors
    /// When the client breaks off, or nothing that it can do is safe enough.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let config = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(config).accept(stream).await
    }

    /// Takes over the files whenever one changes, for ever; for connections that come then. While they can't be used, what was before is.
    pub(super) async fn follow(&self) {
        let TlsOptions { tls_cert, tls_key, tls_client_ca } = &self.options;
        let mut changes = Changes::of([tls_cert, tls_key, tls_client_ca].into_iter().flatten().cloned().collect());
        loop {
            changes.next().await;
            match read(&self.options) {
                Some(Ok(config)) => {
                    tracing::info!("TLS certificates are in force");
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
                }
                Some(Err(error)) => {
                    tracing::warn!(error, "TLS certificates can't be read; those of before are in force");
                }
                None => {}
            }
        }
    }
}

/// What the files say, where a certificate is named.
fn read(options: &TlsOptions) -> Option<Result<Arc<ServerConfig>, String>> {
    let (cert, key) = (options.tls_cert.as_deref()?, options.tls_key.as_deref()?);
    Some(config(cert, key, options.tls_client_ca.as_deref()).map(Arc::new))
}

fn config(cert: &Path, key: &Path, client_ca: Option<&Path>) -> Result<ServerConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).map_err(|error| error.to_string())?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut signers = RootCertStore::empty();
            for signer in certificates(file)? {
                signers.add(signer).map_err(|error| in_file(file, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(signers), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| in_file(file, &error))?)
        }
    };
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| in_file(key, &error))?;
    let config = builder.with_single_cert(certificates(cert)?, private);
    let mut config = config.map_err(|error| in_file(cert, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.map_err(|error| in_file(file, &error))?;
    if read.is_empty() { Err(in_file(file, &"holds no certificate")) } else { Ok(read) }
}

fn in_file(file: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", file.display())
}
