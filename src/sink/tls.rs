//! Certificates and keys from PEM files, and what is made of them: the one module that reads PEM.
//!
//! The provider of cryptography is ring, named here and never as the process's default. Errors say which file is wrong, what
//! was expected in it, and the cure.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts};
use zeroize::Zeroizing;

use crate::sink::secret::open_to_others;

/// A PEM file that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}; {cure}", file.display())]
pub struct TlsError {
    /// The file, or a name for the system's certificates.
    pub file: PathBuf,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub cure: String,
}

impl TlsError {
    fn new(file: &Path, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            what: what.into(),
            cure: cure.into(),
        }
    }
}

/// The provider of cryptography.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Every certificate of a file, in its order.
///
/// # Errors
/// When there is none, or the file is no PEM.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = rustls_pemfile::certs(&mut open(file)?).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(TlsError::new(
            file,
            "holds no certificate",
            "name a PEM file with a block `BEGIN CERTIFICATE`",
        )),
        Err(error) => Err(TlsError::new(
            file,
            format!("is no PEM: {error}"),
            "save it as PEM text",
        )),
    }
}

/// The first private key of a file that not everybody may read.
///
/// # Errors
/// When there is none, the file is no PEM, or everybody may read it.
pub fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let found = rustls_pemfile::private_key(&mut open(file)?);
    if let Some(mode) = open_to_others(file).filter(|mode| mode & 0o007 != 0) {
        let cure = format!("run `chmod 600 {}`", file.display());
        return Err(TlsError::new(
            file,
            format!("a key that everybody may read (mode {mode:04o})"),
            cure,
        ));
    }
    match found {
        Ok(Some(key)) => Ok(key),
        Ok(None) => Err(TlsError::new(
            file,
            "holds no private key",
            "name a PEM file with a block `BEGIN PRIVATE KEY` (PKCS #8, PKCS #1 or SEC 1, without a password)",
        )),
        Err(error) => Err(TlsError::new(
            file,
            format!("is no PEM: {error}"),
            "save it as PEM text",
        )),
    }
}

fn open(file: &Path) -> Result<BufReader<File>, TlsError> {
    File::open(file).map(BufReader::new).map_err(|error| {
        TlsError::new(
            file,
            format!("cannot be read: {error}"),
            "check the path and who may read it",
        )
    })
}

/// What a listener shows: its chain, the own certificate first, and its key. TLS 1.2 and 1.3.
///
/// # Errors
/// When a file is wrong, or the two do not belong together.
pub fn server(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let (chain, secret) = (certificates(certificate)?, private_key(key)?);
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret))
        .map(Arc::new)
        .map_err(|error| not_a_pair(key, certificate, &error))
}

fn not_a_pair(key: &Path, certificate: &Path, error: &rustls::Error) -> TlsError {
    let what = format!("is not the key of {}: {error}", certificate.display());
    TlsError::new(key, what, "name the key that the first certificate was made with")
}

/// What a client trusts, and what it shows of itself.
#[derive(Debug)]
pub struct Trust {
    roots: Vec<CertificateDer<'static>>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    /// The files of the identity, for errors.
    named: Option<(PathBuf, PathBuf)>,
}

impl Trust {
    /// The certificates of `ca`, else those of the system; with `identity`, a client certificate and its key.
    ///
    /// # Errors
    /// When a file is wrong, or the system has no certificates.
    pub fn load(ca: Option<&Path>, identity: Option<(&Path, &Path)>) -> Result<Self, TlsError> {
        let roots = match ca {
            Some(file) => certificates(file)?,
            None => system()?,
        };
        let named = identity.map(|(certificate, key)| (certificate.to_owned(), key.to_owned()));
        let identity = identity
            .map(|(certificate, key)| Ok((certificates(certificate)?, private_key(key)?)))
            .transpose()?;
        let trust = Self { roots, identity, named };
        // A wrong pair is told when the configuration is checked, not with the first event.
        trust.client().map(|_| trust)
    }

    /// For a connection of one's own. TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// When certificate and key do not belong together.
    pub fn client(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let mut store = RootCertStore::empty();
        // What the library cannot use is left out: a bundle of a system always holds a few.
        store.add_parsable_certificates(self.roots.iter().cloned());
        let nameless = |error: &rustls::Error| TlsError::new(Path::new("TLS"), error.to_string(), "report this");
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| nameless(&error))?
            .with_root_certificates(store);
        let config = match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key()),
        };
        config.map(Arc::new).map_err(|error| match &self.named {
            Some((certificate, key)) => not_a_pair(key, certificate, &error),
            None => nameless(&error),
        })
    }

    /// For the HTTP client.
    pub fn http(&self) -> ureq::tls::TlsConfig {
        let wrap = |chain: &[CertificateDer<'static>]| -> Vec<Certificate<'static>> {
            chain.iter().map(|one| Certificate::from_der(one).to_owned()).collect()
        };
        let identity = self.identity.as_ref().and_then(|(chain, key)| {
            let label = match key {
                PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
                PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
                _ => "PRIVATE KEY",
            };
            // The client takes keys as PEM alone. What was read as one is one.
            let key = PrivateKey::from_pem(pem(label, key.secret_der()).as_bytes()).ok()?;
            Some(ClientCert::new_with_certs(&wrap(chain), key))
        });
        ureq::tls::TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&wrap(&self.roots)))
            .client_cert(identity)
            .unversioned_rustls_crypto_provider(provider())
            .build()
    }
}

/// A block of PEM (RFC 7468).
fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let text = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(der));
    let mut out = Zeroizing::new(format!("-----BEGIN {label}-----\n"));
    for (at, char) in text.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            out.push('\n');
        }
        out.push(char);
    }
    out.push_str(&format!("\n-----END {label}-----\n"));
    out
}

fn system() -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err(TlsError::new(
            Path::new("certificates of the system"),
            "there are none",
            "install them (Debian: ca-certificates), or name a file by `ca`",
        ));
    }
    Ok(found.certs)
}

#[cfg(test)]
mod tests {
    use super::*;

    use ring::signature::Ed25519KeyPair;

    const CERTIFICATE: &[u8] = include_bytes!("../proto/tls/tests/server.der");

    fn write(folder: &tempfile::TempDir, name: &str, text: &str, mode: u32) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn reads_certificates_and_keys_and_tells_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let told = |error: TlsError| error.to_string().replace(&format!("{}/", folder.path().display()), "");
        let key = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
        let key = pem("PRIVATE KEY", key.as_ref());
        let chain = write(&folder, "chain.pem", &pem("CERTIFICATE", CERTIFICATE).repeat(2), 0o644);
        let secret = write(&folder, "key.pem", &key, 0o600);
        assert_eq!(certificates(&chain).unwrap().len(), 2);
        assert!(private_key(&secret).is_ok());
        assert!(Trust::load(Some(&chain), None).is_ok());

        let open = write(&folder, "open.pem", &key, 0o644);
        assert_eq!(
            told(private_key(&open).unwrap_err()),
            format!(
                "open.pem: a key that everybody may read (mode 0644); run `chmod 600 {}`",
                open.display()
            )
            .replace(&format!("{}/", folder.path().display()), "")
        );
        assert!(told(certificates(&secret).unwrap_err()).starts_with("key.pem: holds no certificate; "));
        let plain = write(&folder, "plain.pem", "none", 0o600);
        assert!(told(private_key(&plain).unwrap_err()).starts_with("plain.pem: holds no private key; "));
        let missing = folder.path().join("missing.pem");
        assert!(told(certificates(&missing).unwrap_err()).starts_with("missing.pem: cannot be read: "));
        // The certificate is not of this key.
        let wrong = Trust::load(Some(&chain), Some((&chain, &secret))).unwrap_err();
        assert!(told(wrong).starts_with("key.pem: is not the key of "));
        assert!(server(&chain, &secret).is_err());
    }
}
