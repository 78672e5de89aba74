//! Who is asking: tokens, sessions of browsers, and how often somebody may try.
//!
//! A browser gets a session for its token, kept in memory alone: a restart signs everybody out. Everything is bounded;
//! the oldest session goes first.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use crate::model::defect::Defect;
use crate::web::Lock;
use crate::web::tokens::{Known, Tokens, hash};

/// Name of the cookie.
const COOKIE: &str = "shadowtap";
/// Sessions at a time.
const SESSIONS_MAX: usize = 256;
/// A session ends after that long, whatever is done in it.
const SESSION_LIFE: Duration = Duration::from_secs(12 * 3_600);
/// A session ends after that long without a request; pages ask by themselves while they are open.
const SESSION_IDLE: Duration = Duration::from_secs(3_600);
/// Wrong tokens that one address may show in [`ATTEMPTS_SPAN`].
const ATTEMPTS_MAX: u32 = 10;
/// How long a wrong token counts.
const ATTEMPTS_SPAN: Duration = Duration::from_secs(300);
/// Addresses whose wrong tokens are counted apart; more share one count.
const ATTEMPT_ADDRESSES_MAX: usize = 1_024;

/// What somebody may do; each may do what those before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look and export.
    Viewer,
    /// Decide what becomes of findings.
    Analyst,
    /// Read the audit log.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Analyst, Self::Admin];

    /// As written in the file of tokens.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Admin => "admin",
        }
    }
}

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Name of the token; `local` without tokens.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// What a form of theirs must hold; `None` without a session.
    pub csrf: Option<String>,
}

/// Why nobody is signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too many wrong tokens from there.
    TooMany,
    /// No such token.
    Wrong,
}

/// A session and its cookie.
#[derive(Debug)]
pub struct SignedIn {
    /// Who.
    pub who: Who,
    /// Value of `Set-Cookie`.
    pub cookie: String,
}

#[derive(Debug)]
struct Session {
    token: Known,
    csrf: String,
    begun: Instant,
    used: Instant,
}

/// See the module.
#[derive(Debug)]
pub struct Access {
    tokens: Lock<Tokens>,
    /// By the hash of their cookie: a lookup tells nothing about how much of it was right.
    sessions: Lock<HashMap<String, Session>>,
    attempts: Lock<HashMap<IpAddr, (u32, Instant)>>,
    /// Whether the cookie goes over TLS alone.
    secure: bool,
    /// Whether other machines reach the page: then it does not open when the last token goes.
    remote: bool,
    random: SystemRandom,
}

impl Access {
    /// Over a file of tokens.
    ///
    /// # Errors
    /// When that is wrong.
    pub fn new(tokens: &Path, secure: bool, remote: bool) -> Result<Self, Defect> {
        Ok(Self {
            tokens: Lock::new(Tokens::load(tokens)?),
            sessions: Lock::default(),
            attempts: Lock::default(),
            secure,
            remote,
            random: SystemRandom::new(),
        })
    }

    /// Whether one has to sign in.
    pub fn is_closed(&self) -> bool {
        let mut tokens = self.tokens.lock();
        tokens.refresh();
        self.remote || !tokens.is_empty()
    }

    /// Whether anybody can sign in.
    pub fn has_tokens(&self) -> bool {
        !self.tokens.lock().is_empty()
    }

    /// Who is asking, by session or by `Authorization: Bearer`.
    ///
    /// # Errors
    /// [`Refused::Wrong`] when nobody is known to be.
    pub fn identify(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Who, Refused> {
        if !self.is_closed() {
            return Ok(Who {
                name: "local".to_owned(),
                role: Role::Viewer,
                csrf: None,
            });
        }
        if let Some(bearer) = headers.get(header::AUTHORIZATION) {
            let token = bearer.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
            let known = self.check(token.unwrap_or_default().trim(), peer)?;
            return Ok(Who {
                name: known.name,
                role: known.role,
                csrf: None,
            });
        }
        cookie(headers)
            .and_then(|cookie| self.session(cookie))
            .ok_or(Refused::Wrong)
    }

    fn session(&self, cookie: &str) -> Option<Who> {
        let key = hash(cookie);
        let (mut sessions, now) = (self.sessions.lock(), Instant::now());
        let session = sessions.get_mut(&key)?;
        let ended = now - session.begun > SESSION_LIFE || now - session.used > SESSION_IDLE;
        if ended || !self.tokens.lock().holds(&session.token) {
            sessions.remove(&key);
            return None;
        }
        session.used = now;
        Some(Who {
            name: session.token.name.clone(),
            role: session.token.role,
            csrf: Some(session.csrf.clone()),
        })
    }

    /// Begins a session for a token.
    ///
    /// # Errors
    /// When the token is wrong, or wrong ones were too many.
    pub fn sign_in(&self, token: &str, peer: IpAddr) -> Result<SignedIn, Refused> {
        let known = self.check(token.trim(), peer)?;
        let (id, csrf) = (self.secret(), self.secret());
        let (mut sessions, now) = (self.sessions.lock(), Instant::now());
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions
                .iter()
                .min_by_key(|(_, session)| session.used)
                .map(|(key, _)| key.clone());
            oldest.and_then(|key| sessions.remove(&key));
        }
        let who = Who {
            name: known.name.clone(),
            role: known.role,
            csrf: Some(csrf.clone()),
        };
        sessions.insert(
            hash(&id),
            Session {
                token: known,
                csrf,
                begun: now,
                used: now,
            },
        );
        Ok(SignedIn {
            who,
            cookie: self.cookie(&id, SESSION_LIFE.as_secs()),
        })
    }

    /// Ends the session of a browser; gives the cookie that takes the old one away.
    pub fn sign_out(&self, headers: &HeaderMap) -> String {
        if let Some(cookie) = cookie(headers) {
            self.sessions.lock().remove(&hash(cookie));
        }
        self.cookie("", 0)
    }

    fn cookie(&self, value: &str, seconds: u64) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
    }

    /// A token that is known. Wrong ones are counted by address; beyond the bound right ones are refused, too.
    fn check(&self, token: &str, peer: IpAddr) -> Result<Known, Refused> {
        let (mut attempts, now) = (self.attempts.lock(), Instant::now());
        let mut place = network(peer);
        if !attempts.contains_key(&place) && attempts.len() >= ATTEMPT_ADDRESSES_MAX {
            attempts.retain(|_, (_, since)| now - *since <= ATTEMPTS_SPAN);
            if attempts.len() >= ATTEMPT_ADDRESSES_MAX {
                place = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            }
        }
        let (count, since) = attempts.get(&place).copied().unwrap_or((0, now));
        let (count, since) = if now - since > ATTEMPTS_SPAN {
            (0, now)
        } else {
            (count, since)
        };
        if count >= ATTEMPTS_MAX {
            return Err(Refused::TooMany);
        }
        if let Some(known) = self.tokens.lock().find(token) {
            attempts.remove(&place);
            return Ok(known);
        }
        attempts.insert(place, (count + 1, since));
        Err(Refused::Wrong)
    }

    /// 256 random bits as text.
    fn secret(&self) -> String {
        let mut bytes = [0_u8; 32];
        // The system gives random numbers, or nothing else of it works either; an empty secret is never accepted.
        if self.random.fill(&mut bytes).is_err() {
            return String::new();
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

impl Who {
    /// Whether a form was made for this session.
    pub fn owns(&self, given: &str) -> bool {
        let wanted = self.csrf.as_deref().unwrap_or_default();
        !wanted.is_empty() && bool::from(wanted.as_bytes().ct_eq(given.as_bytes()))
    }
}

/// The cookie of a session.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut pairs = all
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs
        .find(|(name, value)| *name == COOKIE && !value.is_empty())
        .map(|(_, value)| value)
}

/// What counts as one place: an IPv4 address, or the /64 of an IPv6 address.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(addr) => IpAddr::V6(Ipv6Addr::from_bits(addr.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::model::stamp::Timestamp;
    use crate::web::tokens;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn sessions_begin_end_and_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let token = tokens::add(&path, "alice", Role::Analyst, Timestamp::default()).unwrap();
        let access = Access::new(&path, false, false).unwrap();
        assert_eq!(access.identify(&HeaderMap::new(), PEER), Err(Refused::Wrong));
        let first = access.sign_in(&token, PEER).unwrap();
        assert!(first.cookie.contains("HttpOnly; SameSite=Strict"), "{}", first.cookie);
        let headers = with(
            header::COOKIE,
            &format!("a=b; {}", first.cookie.split(';').next().unwrap()),
        );
        let who = access.identify(&headers, PEER).unwrap();
        assert_eq!((who.name.as_str(), who.role), ("alice", Role::Analyst));
        assert!(who.owns(who.csrf.as_deref().unwrap()) && !who.owns("") && !who.owns("x"));
        for _ in 0..SESSIONS_MAX {
            access.sign_in(&token, PEER).unwrap();
        }
        assert_eq!(access.sessions.lock().len(), SESSIONS_MAX);
        assert_eq!(access.identify(&headers, PEER), Err(Refused::Wrong));
        let second = access.sign_in(&token, PEER).unwrap();
        let headers = with(header::COOKIE, second.cookie.split(';').next().unwrap());
        assert!(access.identify(&headers, PEER).is_ok());
        access.sign_out(&headers);
        assert_eq!(access.identify(&headers, PEER), Err(Refused::Wrong));
        let bearer = with(header::AUTHORIZATION, &format!("Bearer {token}"));
        let who = access.identify(&bearer, PEER).unwrap();
        assert!(who.csrf.is_none() && !who.owns(""));
        // Whose token is taken out is signed out.
        let third = access.sign_in(&token, PEER).unwrap();
        let headers = with(header::COOKIE, third.cookie.split(';').next().unwrap());
        std::fs::write(
            &path,
            "[[token]]\nname=\"x\"\nrole=\"viewer\"\nsha256=\"".to_owned() + &hash("x") + "\"",
        )
        .unwrap();
        assert_eq!(access.identify(&headers, PEER), Err(Refused::Wrong));
    }

    #[test]
    fn wrong_tokens_are_counted_by_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let token = tokens::add(&path, "alice", Role::Viewer, Timestamp::default()).unwrap();
        let access = Access::new(&path, true, true).unwrap();
        for _ in 0..ATTEMPTS_MAX {
            assert_eq!(access.sign_in("wrong", PEER).unwrap_err(), Refused::Wrong);
        }
        assert_eq!(access.sign_in(&token, PEER).unwrap_err(), Refused::TooMany);
        assert!(
            access
                .sign_in(&token, "10.0.0.2".parse().unwrap())
                .unwrap()
                .cookie
                .ends_with("; Secure")
        );
        for nth in 0..2 * ATTEMPT_ADDRESSES_MAX as u128 {
            let peer = IpAddr::V6(Ipv6Addr::from_bits((0xfd00 << 112) | (nth << 64)));
            let _ = access.sign_in("wrong", peer);
        }
        assert!(access.attempts.lock().len() <= ATTEMPT_ADDRESSES_MAX + 1);
    }
}
