//! The policy file as it is written (TOML), and every mistake in it with its line and its cure.
//!
//! Unknown keys, values of the wrong type and damaged TOML end the reading at the first of them; everything that is
//! wrong with what the values say is told together.

mod reader;
mod values;

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use self::reader::Defects;
use crate::model::defect::Defect;
use crate::policy::criteria::Servers;
use crate::policy::{Policy, network};

/// Texts, each with its place.
type Texts = Option<Spanned<Vec<Spanned<String>>>>;
/// A text with its place.
type Text = Option<Spanned<String>>;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    pins: Text,
    home: Home,
    alerts: Alerts,
    group: Vec<Spanned<WrittenGroup>>,
    approve: Vec<Spanned<Approve>>,
    allow: Vec<Spanned<WrittenAllow>>,
    gateway: Vec<Spanned<WrittenGateway>>,
    backend: Vec<Spanned<WrittenBackend>>,
    ignore: Vec<Spanned<WrittenIgnore>>,
    suppress: Vec<Spanned<WrittenSuppress>>,
    severity: Vec<Spanned<WrittenSeverity>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Home {
    networks: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Alerts {
    max_same: Option<Spanned<i64>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenGroup {
    name: Text,
    clients: Texts,
}

/// A section that is about servers.
trait About {
    /// Those that it is about.
    fn servers(&self, defects: &mut Defects<'_>) -> Servers;

    /// Whether it has none of the keys that say which.
    fn names_no_server(&self) -> bool;
}

/// Sections with the keys that say which servers they are about, beside their own. (`flatten` would neither refuse unknown
/// keys nor know their lines.)
macro_rules! sections {
    ($($name:ident { $($key:ident: $type:ty,)* })*) => {$(
        #[derive(Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct $name {
            address: Text,
            port: Option<Spanned<u16>>,
            hostname: Text,
            sni: Text,
            path: Text,
            server_name: Text,
            $($key: $type,)*
        }

        impl About for $name {
            fn servers(&self, defects: &mut Defects<'_>) -> Servers {
                Servers {
                    address: defects.check(self.address.as_ref(), |text| network::parse(text)),
                    port: defects.check(self.port.as_ref(), |port| values::port(*port)),
                    hostname: defects.check(self.hostname.as_ref(), |text| values::hostname(text)),
                    sni: defects.check(self.sni.as_ref(), |text| values::hostname(text)),
                    path: defects.check(self.path.as_ref(), |text| values::path(text)),
                    server_name: defects.check(self.server_name.as_ref(), |text| values::server_name(text)),
                }
            }

            fn names_no_server(&self) -> bool {
                self.address.is_none()
                    && self.port.is_none()
                    && self.hostname.is_none()
                    && self.sni.is_none()
                    && self.path.is_none()
                    && self.server_name.is_none()
            }
        }
    )*};
}

sections! {
    Approve {
        tools_sha256: Text,
        clients: Texts,
        groups: Texts,
        owner: Option<String>,
        reason: Option<String>,
        expires: Option<Spanned<Datetime>>,
        expose: bool,
        auth: Text,
        cleartext: bool,
    }
    WrittenAllow {
        clients: Texts,
        groups: Texts,
        tools: Texts,
        except: Texts,
        read_only: bool,
        owner: Option<String>,
        reason: Option<String>,
        expires: Option<Spanned<Datetime>>,
    }
    Reached {}
    WrittenBackend {
        hosts: Texts,
        owner: Option<String>,
        reason: Option<String>,
    }
    WrittenSuppress {
        kind: Text,
        rule: Text,
        clients: Texts,
        groups: Texts,
        direction: Text,
        owner: Option<String>,
        reason: Text,
        expires: Option<Spanned<Datetime>>,
    }
    WrittenSeverity {
        kind: Text,
        rule: Text,
        clients: Texts,
        groups: Texts,
        direction: Text,
        severity: Text,
        owner: Option<String>,
        reason: Option<String>,
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenGateway {
    name: Text,
    addresses: Texts,
    reaches: Vec<Spanned<Reached>>,
    except: Texts,
    owner: Option<String>,
    reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenIgnore {
    clients: Texts,
    groups: Texts,
    owner: Option<String>,
    reason: Text,
    expires: Option<Spanned<Datetime>>,
}

impl Policy {
    /// Reads the text of a policy file; `file` is for the messages.
    ///
    /// # Errors
    /// Every mistake, in the order of the file.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Vec<Defect>> {
        let written: Written = toml::from_str(text).map_err(|error| {
            vec![Defect::from_toml(
                file,
                text,
                &error,
                "see the README's policy file for its form",
            )]
        })?;
        Defects::new(file, text).read(&written)
    }
}
