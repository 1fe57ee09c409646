//! TLS by rustls, in libpq's words.

use std::path::Path;

use millpond_cluster::Error;

use crate::url::SslMode;

/// What carries the bytes of a connection.
#[derive(Clone)]
pub(crate) enum Tls {
    /// Nothing but the socket.
    Plain,
    /// TLS with this configuration.
    #[cfg(feature = "rustls")]
    Rustls(tokio_postgres_rustls::MakeRustlsConnect),
}

impl Tls {
    /// TLS as `mode` says. Reads the root certificates now, so that what is wrong with them shows at once.
    #[cfg(not(feature = "rustls"))]
    pub(crate) fn new(mode: SslMode, _root_cert: Option<&Path>, node: &str) -> Result<Self, Error> {
        match mode {
            SslMode::Disable | SslMode::Prefer => Ok(Self::Plain),
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => Err(Error::config(format!(
                "{node}: TLS is wanted (the default off loopback), but the feature `rustls` of millpond is off: \
                 turn it on, or say sslmode=disable in the URL"
            ))),
        }
    }

    /// TLS as `mode` says. Reads the root certificates now, so that what is wrong with them shows at once.
    #[cfg(feature = "rustls")]
    pub(crate) fn new(mode: SslMode, root_cert: Option<&Path>, node: &str) -> Result<Self, Error> {
        with_rustls::connector(mode, root_cert).map_err(|problem| Error::config(format!("{node}: {problem}")))
    }
}

#[cfg(feature = "rustls")]
mod with_rustls {
    use std::path::Path;
    use std::sync::Arc;

    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, ring};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
    use tokio_postgres_rustls::MakeRustlsConnect;

    use super::{SslMode, Tls};

    pub(super) fn connector(mode: SslMode, root_cert: Option<&Path>) -> Result<Tls, String> {
        let check = match mode {
            SslMode::Disable => return Ok(Tls::Plain),
            SslMode::Prefer | SslMode::Require => Check::Nothing,
            SslMode::VerifyCa => Check::Authority(authority(root_cert)?),
            SslMode::VerifyFull => Check::AuthorityAndName(authority(root_cert)?),
        };
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { check, provider }))
            .with_no_client_auth();
        Ok(Tls::Rustls(MakeRustlsConnect::new(config)))
    }

    /// The authorities in a file, or the system's.
    fn authority(root_cert: Option<&Path>) -> Result<Arc<WebPkiServerVerifier>, String> {
        let mut roots = RootCertStore::empty();
        match root_cert {
            Some(file) => {
                let bad = |error: &dyn std::fmt::Display| format!("sslrootcert {}: {error}", file.display());
                for certificate in CertificateDer::pem_file_iter(file).map_err(|error| bad(&error))? {
                    let certificate = certificate.map_err(|error| bad(&error))?;
                    roots.add(certificate).map_err(|error| bad(&error))?;
                }
                if roots.is_empty() {
                    return Err(bad(&"no certificate in it"));
                }
            }
            None => {
                let (_, _unusable) =
                    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err(
                        "the system has no root certificates: name a file with sslrootcert in the URL".into(),
                    );
                }
            }
        }
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()))
            .build()
            .map_err(|error| error.to_string())
    }

    /// What of a server's certificate is checked.
    #[derive(Debug)]
    enum Check {
        Nothing,
        Authority(Arc<WebPkiServerVerifier>),
        AuthorityAndName(Arc<WebPkiServerVerifier>),
    }

    #[derive(Debug)]
    struct Verifier {
        check: Check,
        provider: Arc<CryptoProvider>,
    }

    impl ServerCertVerifier for Verifier {
        fn verify_server_cert(
            &self,
            certificate: &CertificateDer<'_>,
            intermediates: &[CertificateDer<'_>],
            name: &ServerName<'_>,
            ocsp: &[u8],
            now: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            let verify = |verifier: &WebPkiServerVerifier| {
                verifier.verify_server_cert(certificate, intermediates, name, ocsp, now)
            };
            match &self.check {
                Check::Nothing => Ok(ServerCertVerified::assertion()),
                Check::AuthorityAndName(verifier) => verify(verifier),
                // The name is looked at last, so that only the name was wrong when that is the error.
                Check::Authority(verifier) => match verify(verifier) {
                    Err(rustls::Error::InvalidCertificate(
                        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                    )) => Ok(ServerCertVerified::assertion()),
                    other => other,
                },
            }
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.provider.signature_verification_algorithms.supported_schemes()
        }
    }
}
