//! From what is written to the policy: every section and value checked, mistakes gathered.

use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use toml::Spanned;
use toml::value::Datetime;

use super::values::{self, Checked};
use super::{
    About as _, Approve, Text, Texts, Written, WrittenAllow, WrittenBackend, WrittenGateway, WrittenGroup,
    WrittenIgnore, WrittenSeverity, WrittenSuppress,
};
use crate::model::defect::Defect;
use crate::model::stamp::Timestamp;
use crate::policy::approval::Approval;
use crate::policy::criteria::{Clients, Pattern, Servers};
use crate::policy::gateway::{Backend, Gateway};
use crate::policy::quiet::{Findings, Ignore, Quiet, Regrade, SAME_MAX, Suppress};
use crate::policy::usage::Allow;
use crate::policy::{Group, Policy, network};

/// Mistakes found so far. Where a value is wrong its reader gives something to go on with, which nobody will see.
pub(super) struct Defects<'t> {
    file: &'t Path,
    text: &'t str,
    groups: Vec<Group>,
    found: Vec<Defect>,
}

impl<'t> Defects<'t> {
    pub(super) const fn new(file: &'t Path, text: &'t str) -> Self {
        Self {
            file,
            text,
            groups: Vec::new(),
            found: Vec::new(),
        }
    }

    /// The policy, or every mistake in the order of the file.
    pub(super) fn read(mut self, written: &Written) -> Result<Policy, Vec<Defect>> {
        let policy = self.policy(written);
        if self.found.is_empty() {
            return Ok(policy);
        }
        self.found.sort_by_key(|defect| defect.line);
        Err(self.found)
    }
}

impl Defects<'_> {
    fn policy(&mut self, written: &Written) -> Policy {
        let home = match &written.home.networks {
            Some(networks) => self.networks(networks),
            None => network::private(),
        };
        for (group, number) in numbered(&written.group) {
            let group = self.group(group, number);
            self.groups.extend(group);
        }
        let pins_file = self.check(written.pins.as_ref(), |text| values::name(text));
        let same_max = self.check(written.alerts.max_same.as_ref(), |bound| values::bound(*bound));
        let approvals = numbered(&written.approve)
            .map(|(one, number)| self.approval(one, number))
            .collect();
        let allows = numbered(&written.allow)
            .map(|(one, number)| self.allow(one, number))
            .collect();
        let gateways = numbered(&written.gateway)
            .map(|(one, number)| self.gateway(one, number))
            .collect();
        let backends = numbered(&written.backend)
            .map(|(one, number)| self.backend(one, number))
            .collect();
        let ignores = numbered(&written.ignore)
            .map(|(one, number)| self.ignore(one, number))
            .collect();
        let suppressions = numbered(&written.suppress)
            .map(|(one, number)| self.suppress(one, number))
            .collect();
        let severities = numbered(&written.severity)
            .map(|(one, number)| self.regrade(one, number))
            .collect();
        Policy {
            home,
            groups: std::mem::take(&mut self.groups),
            approvals,
            allows,
            gateways,
            backends,
            quiet: Quiet {
                ignores,
                suppressions,
                severities,
                same_max: same_max.unwrap_or(SAME_MAX),
            },
            pins_file: pins_file.map(Into::into),
            pins: Default::default(),
        }
    }

    fn add<T>(&mut self, at: &Spanned<T>, (what, cure): (String, String)) {
        let line = Some(Defect::line_of(self.text, at.span().start));
        self.found.push(Defect {
            file: self.file.to_owned(),
            line,
            what,
            cure,
        });
    }

    fn tell<T>(&mut self, at: &Spanned<T>, what: impl Into<String>, cure: &str) {
        self.add(at, (what.into(), cure.to_owned()));
    }

    /// Checks a value, if it is given.
    pub(super) fn check<T, U>(
        &mut self,
        value: Option<&Spanned<T>>,
        check: impl FnOnce(&T) -> Checked<U>,
    ) -> Option<U> {
        let value = value?;
        check(value.get_ref()).map_err(|mistake| self.add(value, mistake)).ok()
    }

    fn networks(&mut self, written: &Spanned<Vec<Spanned<String>>>) -> Vec<IpNet> {
        self.texts(written, "networks", network::parse)
    }

    /// A list that is given names something.
    fn texts<T>(
        &mut self,
        written: &Spanned<Vec<Spanned<String>>>,
        of: &str,
        check: impl Fn(&str) -> Checked<T>,
    ) -> Vec<T> {
        if written.get_ref().is_empty() {
            self.tell(
                written,
                format!("an empty list of {of}"),
                "name one, or leave the key out",
            );
        }
        let texts = written.get_ref().iter();
        texts
            .filter_map(|text| self.check(Some(text), |text| check(text)))
            .collect()
    }

    fn group(&mut self, written: &Spanned<WrittenGroup>, number: usize) -> Option<Group> {
        let group = written.get_ref();
        let name = self.check(group.name.as_ref(), |text| values::name(text));
        let clients = group.clients.as_ref().map(|clients| self.networks(clients));
        let (Some(name), Some(clients)) = (&name, clients) else {
            if group.name.is_none() || group.clients.is_none() {
                self.tell(
                    written,
                    format!("group #{number} is not whole"),
                    "give it a name and clients, such as clients = [\"10.1.0.0/16\"]",
                );
            }
            return None;
        };
        if self.groups.iter().any(|known| *known.name == **name) {
            self.tell(
                written,
                format!("a second group `{name}`"),
                "give each group a name of its own",
            );
        }
        Some(Group {
            name: name.as_str().into(),
            clients,
        })
    }

    /// Networks of the section and of the groups that it names.
    fn clients(&mut self, clients: &Texts, groups: &Texts) -> Clients {
        let mut networks = clients
            .as_ref()
            .map(|clients| self.networks(clients))
            .unwrap_or_default();
        let names = match groups {
            Some(groups) => self.texts(groups, "groups", values::name),
            None => Vec::new(),
        };
        for (name, at) in names.iter().zip(groups.iter().flat_map(Spanned::get_ref)) {
            match self.groups.iter().find(|group| *group.name == **name) {
                Some(group) => networks.extend(&group.clients),
                None => {
                    let known: Vec<&str> = self.groups.iter().map(|group| &*group.name).collect();
                    let cure = if known.is_empty() {
                        "write a [[group]] with this name".to_owned()
                    } else {
                        format!("write a [[group]] with this name, or one of {}", known.join(", "))
                    };
                    self.add(at, (format!("no group is called `{name}`"), cure));
                }
            }
        }
        // Networks of a section beside its groups have no name.
        let plain = clients.as_ref().map(|_| Arc::from("clients of its own"));
        let groups = names.into_iter().map(Arc::from);
        Clients {
            groups: match groups.len() {
                0 => Vec::new(),
                _ => groups.chain(plain).collect(),
            },
            networks,
        }
    }

    fn approval(&mut self, written: &Spanned<Approve>, number: usize) -> Approval {
        let approve = written.get_ref();
        let approval = Approval {
            rule: rule("approve", number, [&approve.owner, &approve.reason]),
            servers: approve.servers(self),
            tools_sha256: self.check(approve.tools_sha256.as_ref(), |text| values::hash(text)),
            clients: self.clients(&approve.clients, &approve.groups),
            until: self.until(&approve.expires),
            expose: approve.expose,
            unauthenticated_ok: self.check(approve.auth.as_ref(), |text| values::auth(text)).is_some(),
            cleartext_ok: approve.cleartext,
        };
        if approve.names_no_server()
            && approve.tools_sha256.is_none()
            && approve.clients.is_none()
            && approve.groups.is_none()
        {
            let cure =
                "say what it covers: address, port, hostname, sni, path, server_name, tools_sha256, clients or groups";
            self.tell(written, format!("approve #{number} would cover every server"), cure);
        }
        approval
    }

    fn allow(&mut self, written: &Spanned<WrittenAllow>, number: usize) -> Allow {
        let allow = written.get_ref();
        if allow.names_no_server() {
            self.tell(
                written,
                format!("allow #{number} names no server"),
                "say whose tools it is about: address, port, hostname, sni, path or server_name",
            );
        }
        Allow {
            rule: rule("allow", number, [&allow.owner, &allow.reason]),
            servers: allow.servers(self),
            clients: self.clients(&allow.clients, &allow.groups),
            tools: allow.tools.as_ref().map(|tools| self.tools(tools)),
            except: allow.except.as_ref().map(|tools| self.tools(tools)).unwrap_or_default(),
            read_only: allow.read_only,
            until: self.until(&allow.expires),
        }
    }

    fn tools(&mut self, written: &Spanned<Vec<Spanned<String>>>) -> Vec<Pattern> {
        self.texts(written, "tools", values::tool)
    }

    fn until(&mut self, expires: &Option<Spanned<Datetime>>) -> Option<Timestamp> {
        self.check(expires.as_ref(), values::expires)
    }

    fn gateway(&mut self, written: &Spanned<WrittenGateway>, number: usize) -> Gateway {
        let gateway = written.get_ref();
        let name = self.check(gateway.name.as_ref(), |text| values::name(text));
        let reaches: Vec<Servers> = gateway
            .reaches
            .iter()
            .map(|reached| {
                if reached.get_ref().names_no_server() {
                    let cure = "say which servers: address, port, hostname, sni, path or server_name";
                    self.tell(reached, format!("gateway #{number} would reach every server"), cure);
                }
                reached.get_ref().servers(self)
            })
            .collect();
        if gateway.addresses.is_none() || reaches.is_empty() {
            self.tell(
                written,
                format!("gateway #{number} is not whole"),
                "give it addresses and at least one [[gateway.reaches]]",
            );
        }
        Gateway {
            rule: rule("gateway", number, [&name, &gateway.owner, &gateway.reason]),
            addresses: gateway
                .addresses
                .as_ref()
                .map(|list| self.networks(list))
                .unwrap_or_default(),
            reaches,
            except: gateway
                .except
                .as_ref()
                .map(|list| self.networks(list))
                .unwrap_or_default(),
        }
    }

    fn backend(&mut self, written: &Spanned<WrittenBackend>, number: usize) -> Backend {
        let backend = written.get_ref();
        let mut networks = Vec::new();
        let mut names = Vec::new();
        match &backend.hosts {
            Some(hosts) => {
                let either = |text: &str| match network::parse(text) {
                    Ok(network) => Ok((Some(network), None)),
                    // What has a slash, or digits and dots alone, was meant as a network.
                    Err(mistake) if text.contains('/') => Err(mistake),
                    Err(_) => values::hostname(text).map(|name| (None, Some(name))),
                };
                for (network, name) in self.texts(hosts, "hosts", either) {
                    networks.extend(network);
                    names.extend(name);
                }
            }
            None => self.tell(
                written,
                format!("backend #{number} names no host"),
                "give it hosts, such as hosts = [\"api.example.com\"]",
            ),
        }
        Backend {
            rule: rule("backend", number, [&backend.owner, &backend.reason]),
            servers: backend.servers(self),
            names,
            networks,
        }
    }

    fn ignore(&mut self, written: &Spanned<WrittenIgnore>, number: usize) -> Ignore {
        let ignore = written.get_ref();
        if ignore.clients.is_none() && ignore.groups.is_none() {
            self.tell(
                written,
                format!("ignore #{number} would hide every client"),
                "name clients or groups",
            );
        }
        Ignore {
            rule: rule(
                "ignore",
                number,
                [&ignore.owner, &self.reason(written, &ignore.reason, ("ignore", number))],
            ),
            clients: self.clients(&ignore.clients, &ignore.groups),
            until: self.until(&ignore.expires),
        }
    }

    fn suppress(&mut self, written: &Spanned<WrittenSuppress>, number: usize) -> Suppress {
        let suppress = written.get_ref();
        let findings = Findings {
            kind: self.check(suppress.kind.as_ref(), |text| values::kind(text)),
            rule: self.check(suppress.rule.as_ref(), |text| values::name(text)),
            servers: suppress.servers(self),
            clients: self.clients(&suppress.clients, &suppress.groups),
            direction: self.check(suppress.direction.as_ref(), |text| values::direction(text)),
        };
        let says_nothing = suppress.names_no_server()
            && suppress.kind.is_none()
            && suppress.rule.is_none()
            && suppress.direction.is_none()
            && suppress.clients.is_none()
            && suppress.groups.is_none();
        if says_nothing {
            self.tell(
                written,
                format!("suppress #{number} would silence everything"),
                "say what: kind, rule, address, port, hostname, sni, path, server_name, clients, groups or direction",
            );
        }
        Suppress {
            rule: rule(
                "suppress",
                number,
                [
                    &suppress.owner,
                    &self.reason(written, &suppress.reason, ("suppress", number)),
                ],
            ),
            findings,
            until: self.until(&suppress.expires),
        }
    }

    /// Who holds something back says why.
    fn reason<T>(&mut self, section: &Spanned<T>, written: &Text, (kind, number): (&str, usize)) -> Option<String> {
        self.check(written.as_ref(), |text| values::reason(text));
        if written.is_none() {
            self.tell(
                section,
                format!("{kind} #{number} has no reason"),
                "say why, with reason = \"...\"",
            );
        }
        written.as_ref().map(|reason| reason.get_ref().clone())
    }

    fn regrade(&mut self, written: &Spanned<WrittenSeverity>, number: usize) -> Regrade {
        let regrade = written.get_ref();
        let severity = self.check(regrade.severity.as_ref(), |text| values::severity(text));
        if regrade.severity.is_none() || (regrade.kind.is_none() && regrade.rule.is_none()) {
            self.tell(
                written,
                format!("severity #{number} is not whole"),
                "give it a kind or a rule, and a severity",
            );
        }
        Regrade {
            rule: rule("severity", number, [&regrade.owner, &regrade.reason]),
            findings: Findings {
                kind: self.check(regrade.kind.as_ref(), |text| values::kind(text)),
                rule: self.check(regrade.rule.as_ref(), |text| values::name(text)),
                servers: regrade.servers(self),
                clients: self.clients(&regrade.clients, &regrade.groups),
                direction: self.check(regrade.direction.as_ref(), |text| values::direction(text)),
            },
            severity: severity.unwrap_or(crate::model::finding::Severity::Info),
        }
    }
}

/// Sections of one kind with their numbers, from 1.
fn numbered<T>(sections: &[Spanned<T>]) -> impl Iterator<Item = (&Spanned<T>, usize)> {
    sections.iter().zip(1_usize..)
}

/// `approve #2: platform team — weather for the chat bot`.
fn rule<'t>(section: &str, number: usize, told: impl IntoIterator<Item = &'t Option<String>>) -> Arc<str> {
    let told: Vec<&str> = told.into_iter().flatten().map(String::as_str).collect();
    if told.is_empty() {
        return format!("{section} #{number}").into();
    }
    format!("{section} #{number}: {}", told.join(" — ")).into()
}
