//! The certificate of a server (RFC 5246, section 7.4.2; RFC 5280), which up to TLS 1.2 stands in clear: whom it is for
//! and from.
//!
//! Reads the server's own certificate alone, the first of the list, with the crate `x509-parser`. Verifies nothing: it is
//! what was shown, not what is true.

use std::net::IpAddr;

use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate, X509Name};

use crate::model::tls::Certificate;
use crate::proto::tls::hello::host_name;

/// `certificate`.
pub(super) const CERTIFICATE: u8 = 11;

/// Largest certificate that is read, in bytes.
const CERTIFICATE_MAX_BYTES: usize = 16 * 1024;
/// Names of one certificate that are told. Shared hosts list a hundred.
const NAMES_MAX: usize = 128;
/// Longest subject or issuer that is told, in bytes.
const TEXT_MAX_BYTES: usize = 256;

/// Whom a certificate is for and from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    subject: String,
    issuer: String,
    names: Vec<String>,
}

impl Names {
    /// Of the first certificate of a handshake message's body; `None` when there is none, or none that can be read.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let (_, list) = body.split_first_chunk::<3>()?;
        let ([high, middle, low], rest) = list.split_first_chunk::<3>()?;
        let length = usize::try_from(u32::from_be_bytes([0, *high, *middle, *low])).ok()?;
        let der = rest.get(..length).filter(|der| der.len() <= CERTIFICATE_MAX_BYTES)?;
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let named = certificate
            .extensions()
            .iter()
            .filter_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
                _ => None,
            })
            .flatten();
        Some(Self {
            subject: text(certificate.subject()),
            issuer: text(certificate.issuer()),
            names: named.filter_map(name).take(NAMES_MAX).collect(),
        })
    }

    /// As a part of a fact.
    pub(super) fn fact(&self) -> Certificate<'_> {
        Certificate {
            subject: &self.subject,
            issuer: &self.issuer,
            names: &self.names,
        }
    }
}

/// A DNS name, with or without a wildcard in front, or an address.
fn name(general: &GeneralName<'_>) -> Option<String> {
    match general {
        GeneralName::DNSName(name) => match name.strip_prefix("*.") {
            Some(domain) => Some(format!("*.{}", host_name(domain.as_bytes())?)),
            None => host_name(name.as_bytes()),
        },
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

/// The common name, or the whole name.
fn text(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().find_map(|part| part.as_str().ok());
    let mut text = common.map_or_else(|| name.to_string(), str::to_owned);
    text.truncate(text.floor_char_boundary(TEXT_MAX_BYTES));
    text
}
