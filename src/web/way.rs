//! The way of a request: guard, access, answer; and signing in and out.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, RawPathParams, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use axum::routing::{any, get, post};
use tokio::sync::Semaphore;

use crate::model::stamp::Timestamp;
use crate::web::access::{Access, Refused, Who};
use crate::web::assets;
use crate::web::audit::{Audit, Entry};
use crate::web::desk::Desk;
use crate::web::guard::{Guard, HEADERS, STRICT_TRANSPORT, Unheard};
use crate::web::page::Lone;
use crate::web::reply::{Problem, Reply};
use crate::web::route::{Answer, ROUTES, Route, Visit};
use crate::web::select::Parameters;
use crate::web::tokens::hash;

/// Longest form, in bytes.
const BODY_MAX_BYTES: usize = 16 * 1_024;

/// Questions that are answered at the same time.
const BUSY_MAX: usize = 4;

/// What all requests share.
#[derive(Debug)]
pub struct Site {
    pub(crate) desk: Desk,
    pub(crate) access: Access,
    pub(crate) audit: Audit,
    guard: Guard,
    /// Whether browsers are to come back over TLS alone.
    strict: bool,
    clock: fn() -> Timestamp,
    busy: Semaphore,
}

impl Site {
    pub(crate) fn new(
        desk: Desk,
        access: Access,
        audit: Audit,
        guard: Guard,
        strict: bool,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self {
            desk,
            access,
            audit,
            guard,
            strict,
            clock,
            busy: Semaphore::new(BUSY_MAX),
        }
    }
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Every address and its way.
pub fn router(site: Arc<Site>) -> Router {
    let mut router = Router::new();
    for route in &ROUTES {
        let handler = move |site: State<Arc<Site>>, peer: Extension<Peer>, parts: Parts, body: Bytes| {
            answer(site, peer, parts, body, route)
        };
        router = router.route(route.path, any(handler));
    }
    router
        .route("/sign-in", get(sign_in_form).post(sign_in))
        .route("/sign-out", post(sign_out))
        .fallback(elsewhere)
        .layer(axum::extract::DefaultBodyLimit::max(BODY_MAX_BYTES))
        .with_state(site)
}

/// The head of a request.
struct Parts {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    id: String,
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Parts {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Self::Rejection> {
        let ids = RawPathParams::from_request_parts(parts, state).await.ok();
        let id = ids
            .as_ref()
            .and_then(|ids| ids.iter().next())
            .map(|(_, id)| id.to_owned());
        Ok(Self {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
            id: id.unwrap_or_default(),
        })
    }
}

async fn answer(
    State(site): State<Arc<Site>>,
    Extension(Peer(peer)): Extension<Peer>,
    parts: Parts,
    body: Bytes,
    route: &'static Route,
) -> Response<Body> {
    let is_api = route.api.is_some();
    let reply = match admit(&site, &parts, peer, route) {
        Err(reply) => reply,
        Ok((who, ask)) => {
            let wanted = parts.headers.get(header::IF_NONE_MATCH).cloned();
            let holder = Arc::clone(&site);
            let run = move || {
                let (query, form) = (
                    Parameters::parse(parts.uri.query().unwrap_or_default().as_bytes()),
                    Parameters::parse(&body),
                );
                let visit = Visit {
                    site: &holder,
                    who: &who,
                    peer,
                    path: parts.uri.path(),
                    id: &parts.id,
                    query: &query,
                    form: &form,
                    now: (holder.clock)(),
                };
                // A form that changes something is of this session, or of a program that showed its token.
                let stranger = parts.method == Method::POST
                    && !parts.headers.contains_key(header::AUTHORIZATION)
                    && !who.owns(form.get("csrf").unwrap_or_default());
                if stranger {
                    return Err(Problem::Forbidden(
                        "This form is not of your session: load the page again, and send it once more.".to_owned(),
                    ));
                }
                ask(&visit)
            };
            // One at a time is not enough when one asks for a year; more would only wait for the disk.
            let permit = site.busy.acquire().await;
            let result = tokio::task::spawn_blocking(run).await;
            drop(permit);
            match result {
                Ok(Ok(reply)) => tagged(reply, wanted.as_ref()),
                Ok(Err(problem)) => told(&problem, is_api),
                Err(_) => problem(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "This request could not be answered.",
                    is_api,
                ),
            }
        }
    };
    finish(&site, reply)
}

/// Who is asking, and what answers; else what is said instead.
fn admit(site: &Site, parts: &Parts, peer: IpAddr, route: &Route) -> Result<(Who, Answer), Reply> {
    let is_api = route.api.is_some();
    hear(site, parts)?;
    let (role, ask) = match parts.method {
        Method::GET | Method::HEAD => (route.role, route.get),
        Method::POST if route.post.is_some() => route.post.unwrap_or((route.role, route.get)),
        _ => {
            return Err(problem(
                StatusCode::METHOD_NOT_ALLOWED,
                "This address does not take that.",
                is_api,
            ));
        }
    };
    let who = site
        .access
        .identify(&parts.headers, peer)
        .map_err(|refused| match refused {
            Refused::TooMany => too_many(is_api),
            Refused::Wrong if is_api => problem(
                StatusCode::UNAUTHORIZED,
                "Show a token: Authorization: Bearer TOKEN",
                true,
            )
            .with(header::WWW_AUTHENTICATE, "Bearer"),
            // A link from elsewhere comes without the cookie (`SameSite=Strict`): asked from here, it has it.
            Refused::Wrong
                if parts
                    .headers
                    .get("sec-fetch-site")
                    .is_some_and(|site| site == "cross-site") =>
            {
                Lone::again(address(&parts.uri))
            }
            Refused::Wrong => {
                let mut reply = Lone::sign_in(address(&parts.uri), None);
                reply.status = StatusCode::UNAUTHORIZED;
                reply
            }
        })?;
    if who.role < role {
        let said = format!(
            "This is for the role {}, and yours is {}.",
            role.word(),
            who.role.word()
        );
        return Err(problem(StatusCode::FORBIDDEN, &said, is_api));
    }
    Ok((who, ask))
}

/// The address that was asked for.
fn address(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", axum::http::uri::PathAndQuery::as_str)
}

fn hear(site: &Site, parts: &Parts) -> Result<(), Reply> {
    site.guard
        .check(&parts.method, &parts.headers)
        .map_err(|unheard| match unheard {
            Unheard::Host => problem(
                StatusCode::MISDIRECTED_REQUEST,
                "This page is not called by that name. Use its address, or let the operator add the name: web.hosts.",
                true,
            ),
            Unheard::Origin => problem(
                StatusCode::FORBIDDEN,
                "This was asked by a page of somebody else's.",
                true,
            ),
        })
}

async fn sign_in_form(State(site): State<Arc<Site>>, parts: Parts) -> Response<Body> {
    let reply = match hear(&site, &parts) {
        Err(reply) => reply,
        Ok(()) if !site.access.is_closed() => Reply::see("/"),
        Ok(()) => Lone::sign_in("/", None),
    };
    finish(&site, reply)
}

async fn sign_in(
    State(site): State<Arc<Site>>,
    Extension(Peer(peer)): Extension<Peer>,
    parts: Parts,
    body: Bytes,
) -> Response<Body> {
    if let Err(reply) = hear(&site, &parts) {
        return finish(&site, reply);
    }
    let form = Parameters::parse(&body);
    let next = form.get("next").filter(|next| is_local(next)).unwrap_or("/");
    let note = |who: &str, role: &str, action: &str| {
        site.audit
            .note(&Entry::new((site.clock)(), who, role, peer, action, "web page"))
    };
    let reply = match site.access.sign_in(form.get("token").unwrap_or_default(), peer) {
        Ok(signed_in) => match note(&signed_in.who.name, signed_in.who.role.word(), "sign-in") {
            Ok(()) => Reply::see(next).with(header::SET_COOKIE, &signed_in.cookie),
            Err(error) => told(&Problem::Unaudited(error), false),
        },
        // Not audited: whoever is held back could fill the disk with it.
        Err(Refused::TooMany) => too_many(false),
        Err(Refused::Wrong) => match note("unknown", "none", "sign-in-refused") {
            Ok(()) => {
                let mut reply = Lone::sign_in(next, Some("No such token."));
                reply.status = StatusCode::UNAUTHORIZED;
                reply
            }
            Err(error) => told(&Problem::Unaudited(error), false),
        },
    };
    finish(&site, reply)
}

async fn sign_out(
    State(site): State<Arc<Site>>,
    Extension(Peer(peer)): Extension<Peer>,
    parts: Parts,
    body: Bytes,
) -> Response<Body> {
    if let Err(reply) = hear(&site, &parts) {
        return finish(&site, reply);
    }
    let form = Parameters::parse(&body);
    let who = site.access.identify(&parts.headers, peer).ok();
    let Some(who) = who.filter(|who| who.owns(form.get("csrf").unwrap_or_default())) else {
        return finish(&site, Reply::see("/"));
    };
    let entry = Entry::new((site.clock)(), &who.name, who.role.word(), peer, "sign-out", "web page");
    // Who wants to go, goes, audited or not.
    let _ = site.audit.note(&entry);
    let reply = Reply::see("/sign-in").with(header::SET_COOKIE, &site.access.sign_out(&parts.headers));
    finish(&site, reply)
}

/// Style, script and sign; and what is not there.
async fn elsewhere(State(site): State<Arc<Site>>, parts: Parts) -> Response<Body> {
    let path = parts.uri.path();
    let reply = match hear(&site, &parts) {
        Err(reply) => reply,
        Ok(()) => assets::asset(path).unwrap_or_else(|| {
            problem(
                StatusCode::NOT_FOUND,
                "There is no such page.",
                path.starts_with("/api/"),
            )
        }),
    };
    finish(&site, reply)
}

/// Whether an address leads to a page of ours: browsers read `//` and `/\` as another host.
fn is_local(address: &str) -> bool {
    address.starts_with('/')
        && !address.starts_with("//")
        && !address.contains(['\\', '\r', '\n', '\t'])
        && address.is_ascii()
}

fn too_many(is_api: bool) -> Reply {
    let said = "Too many wrong tokens from there: wait for five minutes.";
    problem(StatusCode::TOO_MANY_REQUESTS, said, is_api).with(header::RETRY_AFTER, "300")
}

fn told(what: &Problem, is_api: bool) -> Reply {
    let (status, said) = what.told();
    problem(status, &said, is_api)
}

fn problem(status: StatusCode, said: &str, is_api: bool) -> Reply {
    let mut reply = if is_api {
        Reply::json(&serde_json::json!({ "error": said }))
    } else {
        Lone::problem(status.canonical_reason().unwrap_or("Problem"), said)
    };
    reply.status = status;
    reply
}

/// With the hash of its body; without a body where the asker has it already.
fn tagged(reply: Reply, wanted: Option<&HeaderValue>) -> Reply {
    if reply.status != StatusCode::OK {
        return reply;
    }
    let text = String::from_utf8_lossy(&reply.body);
    let tag = format!("\"{}\"", hash(&text).get(..32).unwrap_or_default());
    let same = wanted.is_some_and(|wanted| wanted.as_bytes() == tag.as_bytes());
    let mut reply = reply.with(header::ETAG, &tag);
    if same {
        reply.status = StatusCode::NOT_MODIFIED;
        reply.body.clear();
    }
    reply
}

fn finish(site: &Site, reply: Reply) -> Response<Body> {
    let mut response = reply.into_response();
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    if site.strict {
        headers.insert(STRICT_TRANSPORT.0, STRICT_TRANSPORT.1);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_sign_in_is_a_page_of_ours() {
        for (address, local) in [
            ("/", true),
            ("/servers?q=a%20b", true),
            ("//evil.example", false),
            ("/\\evil.example", false),
            ("https://evil.example", false),
            ("/a\r\nSet-Cookie: x", false),
            ("", false),
        ] {
            assert_eq!(is_local(address), local, "{address:?}");
        }
    }
}
