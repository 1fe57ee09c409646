//! Passwords, TLS and sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millpond::postgres::Db;
use millpond::{Error, Result};
use millpond_lab::Lab;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::NamedTempFile;

/// An authority, and a server certificate of it for these names.
struct Certificates {
    /// A file, as `sslrootcert` wants it.
    authority: NamedTempFile,
    certificate: String,
    key: String,
}

impl Certificates {
    fn of(names: &[&str]) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        let authority = NamedTempFile::new().unwrap();
        std::fs::write(authority.path(), issuer.pem()).unwrap();
        Self { authority, certificate: certificate.pem(), key: key.serialize_pem() }
    }

    async fn lab(&self) -> Lab {
        Lab::builder().replicas(0).ssl(&self.certificate, &self.key).up().await.unwrap()
    }
}

async fn connect(lab: &Lab, mode: &str, authority: &NamedTempFile) -> Result<Db> {
    // The lab's URL says sslmode=disable; here it is the builder that says it.
    Db::builder(&lab.url("postgres"))?.ssl_mode(mode)?.ssl_root_cert(authority.path()).connect().await
}

async fn is_encrypted(db: &Db) -> bool {
    let lease = db.get().await.unwrap();
    lease.query_one("select ssl from pg_stat_ssl where pid = pg_backend_pid()", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_certificate_that_names_the_host_passes_every_check() {
    let certificates = Certificates::of(&["127.0.0.1"]);
    let lab = certificates.lab().await;
    for mode in ["prefer", "require", "verify-ca", "verify-full"] {
        let db = connect(&lab, mode, &certificates.authority).await.unwrap();
        assert!(is_encrypted(&db).await, "{mode}");
    }
    let db = connect(&lab, "disable", &certificates.authority).await.unwrap();
    assert!(!is_encrypted(&db).await);
}

#[tokio::test]
async fn a_certificate_for_another_host_passes_all_but_the_full_check() {
    let certificates = Certificates::of(&["db.example"]);
    let lab = certificates.lab().await;
    for mode in ["require", "verify-ca"] {
        connect(&lab, mode, &certificates.authority).await.unwrap();
    }
    let error = connect(&lab, "verify-full", &certificates.authority).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("TLS handshake") && text.contains("check sslmode and sslrootcert"), "{text}");
}

#[tokio::test]
async fn a_certificate_of_another_authority_passes_only_without_a_check() {
    let (certificates, others) = (Certificates::of(&["127.0.0.1"]), Certificates::of(&["127.0.0.1"]));
    let lab = certificates.lab().await;
    connect(&lab, "require", &others.authority).await.unwrap();
    for mode in ["verify-ca", "verify-full"] {
        connect(&lab, mode, &others.authority).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    let certificates = Certificates::of(&["127.0.0.1"]);
    let lab = Lab::builder().replicas(0).up().await.unwrap();
    connect(&lab, "prefer", &certificates.authority).await.unwrap();
    connect(&lab, "require", &certificates.authority).await.unwrap_err();
}

#[tokio::test]
async fn a_root_certificate_that_cannot_be_read_is_named() {
    let builder = || Db::builder("postgres://app:secret@db.invalid/shop").unwrap();
    let says = |error: Error| error.to_string();
    let missing = says(builder().ssl_root_cert("/no/such/file.pem").connect().await.unwrap_err());
    assert!(missing.contains("db.invalid:5432: sslrootcert /no/such/file.pem"), "{missing}");
    let empty = NamedTempFile::new().unwrap();
    let empty = says(builder().ssl_root_cert(empty.path()).connect().await.unwrap_err());
    assert!(empty.contains("no certificate in it"), "{empty}");
}

#[tokio::test]
async fn passwords_are_asked_for_whenever_a_connection_is_opened() {
    let lab = Lab::builder().replicas(1).password("app", "second").up().await.unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let callback = {
        let asked = Arc::clone(&asked);
        // The first that is asked for is outdated, as with a token that has just rotated.
        move || {
            let password = if asked.fetch_add(1, Ordering::SeqCst) == 0 { "first" } else { "second" };
            async move { Ok::<_, std::io::Error>(password.to_owned()) }
        }
    };
    let url = lab.url_for("app", "", "postgres");
    let db = Db::builder(&url).unwrap().password_callback(callback).connect().await.unwrap();
    db.query("select 1", &[]).await.unwrap();
    assert!(asked.load(Ordering::SeqCst) >= 3, "two monitors and a pool");
}

#[tokio::test]
async fn a_password_callback_that_fails_is_the_cause_in_the_error() {
    let lab = Lab::builder().replicas(0).up().await.unwrap();
    let callback = || async { Err::<String, _>("the vault is sealed") };
    let error =
        Db::builder(&lab.url("postgres")).unwrap().password_callback(callback).connect().await.unwrap_err();
    assert!(error.to_string().contains("the vault is sealed"), "{error}");
}

#[tokio::test]
async fn a_unix_socket_is_a_node() {
    let lab = Lab::builder().replicas(0).up().await.unwrap();
    let folder = lab.primary().socket_folder().expect("the lab has sockets").display().to_string();
    let port = lab.primary().direct_port();
    let url = format!("postgres://postgres@{}:{port}/postgres", folder.replace('/', "%2F"));
    let db = Db::connect(&url).await.unwrap();
    assert_eq!(db.query("select 1", &[]).await.unwrap().len(), 1);
}
