//! `shadowtap serve`: the web page and its JSON API over a store; `serve token` makes a token for it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use anyhow::anyhow;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::setup::{self, WRONG, now};
use crate::config::load::Loaded;
use crate::log;
use crate::model::defect::Defect;
use crate::sink::tls;
use crate::store::default_path;
use crate::web::access::Role;
use crate::web::listen::Server;
use crate::web::shelf::Embedded;
use crate::web::{DEFAULT_LISTEN, Options, WebError, tokens};

/// Threads that ask the store.
const ASKING_THREADS: usize = 4;

/// Shows the web page and its JSON API over a store, read only, also while a sensor writes it.
///
/// On loopback everybody on this machine may look, as long as there are no tokens. Any other address needs tokens and TLS.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The store to show [default: as configured, else $SHADOWTAP_STORE, else /var/lib/shadowtap, else the user's state directory]
    #[arg(long, value_name = "PATH")]
    pub store: Option<PathBuf>,
    /// Address and port [default: as configured, else 127.0.0.1:8470]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// A name by which the page is called, beside its address and localhost; may be given several times
    #[arg(long, value_name = "NAME")]
    pub host: Vec<String>,
    /// Certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) files: Files,
}

/// Files of the page.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Files {
    /// Configuration file [default: shadowtap.toml, else /etc/shadowtap/shadowtap.toml]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// File with the hashes of tokens [default: as configured, else web.tokens beside the store]
    #[arg(long, value_name = "FILE")]
    pub(crate) tokens: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// Makes a token and prints it; the file of tokens keeps its hash alone
    Token {
        /// What its holder may do: viewer (look), analyst (decide about findings), admin (read the audit log)
        #[arg(long, value_parser = role)]
        role: Role,
        /// Whose it is
        #[arg(long)]
        name: String,
        /// The store, beside which the file of tokens lies
        #[arg(long, value_name = "PATH")]
        store: Option<PathBuf>,
        #[command(flatten)]
        files: Files,
    },
}

fn role(text: &str) -> Result<Role, String> {
    let found = Role::ALL.into_iter().find(|role| role.word() == text);
    found.ok_or_else(|| "must be one of viewer, analyst, admin".to_owned())
}

/// Runs the command.
///
/// # Errors
/// Wrong configuration, tokens, certificate or address, each with its cure.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(Verb::Token {
        role,
        name,
        store,
        files,
    }) = &args.verb
    {
        let loaded = Loaded::load(files.config.as_deref())?;
        let store = store_path(store.as_deref(), &loaded);
        let path = tokens_path(files.tokens.as_deref(), &loaded, &store);
        println!("{}", tokens::add(&path, name, *role, now())?);
        eprintln!(
            "shadowtap: this is the token of {name}, and it is shown this once; its hash is in {}",
            path.display()
        );
        return Ok(ExitCode::SUCCESS);
    }
    let loaded = Loaded::load(args.files.config.as_deref())?;
    if let Some(defect) = check(&loaded).into_iter().next() {
        return Err(defect.into());
    }
    let store = store_path(args.store.as_deref(), &loaded);
    let listen = args.listen.or(loaded.config.web.listen).unwrap_or(DEFAULT_LISTEN);
    let mut options = options(listen, &loaded, &store);
    options.hosts.extend(args.host.iter().cloned());
    options.tokens = tokens_path(args.files.tokens.as_deref(), &loaded, &store);
    if let Some(pair) = args.certificate.clone().zip(args.key.clone()) {
        options.tls = Some(pair);
    }
    let server = match Server::bind(&options, Box::new(Embedded::new(&store))) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("shadowtap: {error}");
            return Ok(ExitCode::from(WRONG));
        }
    };
    eprintln!("shadowtap: {} shows {}", server.url(), store.display());
    runtime()?.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            served = server.serve() => served?,
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Binds the page that is shown beside live capture, where one is wanted: before rights are given up.
///
/// # Errors
/// When the address cannot be had, or a file is wrong.
pub(super) fn beside(
    given: Option<SocketAddr>,
    loaded: &Loaded,
    store: Option<&Path>,
) -> anyhow::Result<Option<Server>> {
    let Some(listen) = given.or(loaded.config.web.listen) else {
        return Ok(None);
    };
    if let Some(defect) = check(loaded).into_iter().next() {
        return Err(defect.into());
    }
    let store =
        store.ok_or_else(|| anyhow!("the web page shows a store, and there is none: leave out --store none"))?;
    let server = Server::bind(&options(listen, loaded, store), Box::new(Embedded::new(store)))?;
    Ok(Some(server))
}

/// Shows a page from a thread of its own until the process ends.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn start(server: Server) -> anyhow::Result<()> {
    log::info("web", format_args!("the web page is at {}", server.url()));
    let runtime = runtime()?;
    let serve = move || {
        if let Err(error) = runtime.block_on(server.serve()) {
            log::error("web", &error);
        }
    };
    thread::Builder::new().name("web".to_owned()).spawn(serve)?;
    Ok(())
}

/// Every mistake in the section `[web]`.
pub(super) fn check(loaded: &Loaded) -> Vec<Defect> {
    let web = &loaded.config.web;
    let mut defects = Vec::new();
    let mut note = |what: &str, cure: &str| {
        defects.push(Defect {
            file: loaded.file.clone().unwrap_or_else(|| PathBuf::from("shadowtap.toml")),
            line: None,
            what: what.to_owned(),
            cure: cure.to_owned(),
        });
    };
    match (&web.certificate, &web.key) {
        (Some(certificate), Some(key)) => {
            if let Err(error) = tls::server(&loaded.beside(certificate), &loaded.beside(key)) {
                defects.push(Defect {
                    file: error.file,
                    line: None,
                    what: error.what,
                    cure: error.cure,
                });
            }
        }
        (Some(_), None) => note("web.certificate stands alone", "name its private key with web.key"),
        (None, Some(_)) => note("web.key stands alone", "name its certificate with web.certificate"),
        (None, None) if web.listen.is_some_and(|listen| !listen.ip().is_loopback()) => note(
            "web.listen can be reached from other machines, and there is no TLS",
            "set web.certificate and web.key, or listen on 127.0.0.1",
        ),
        (None, None) => {}
    }
    let tokens = web
        .tokens
        .as_deref()
        .map(|path| tokens::Tokens::load(&loaded.beside(path)));
    defects.extend(tokens.and_then(Result::err));
    defects
}

fn runtime() -> Result<tokio::runtime::Runtime, WebError> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    Ok(builder.enable_all().max_blocking_threads(ASKING_THREADS).build()?)
}

fn options(listen: SocketAddr, loaded: &Loaded, store: &Path) -> Options {
    let web = &loaded.config.web;
    let pair = web.certificate.as_deref().zip(web.key.as_deref());
    Options {
        listen,
        hosts: web.hosts.clone(),
        tokens: tokens_path(None, loaded, store),
        tls: pair.map(|(certificate, key)| (loaded.beside(certificate), loaded.beside(key))),
        audit: named(store, ".audit.ndjson"),
        clock: now,
    }
}

fn store_path(given: Option<&Path>, loaded: &Loaded) -> PathBuf {
    setup::store_path(given, loaded).unwrap_or_else(default_path)
}

/// The file of tokens: as given, else as configured, else beside the store.
pub(super) fn tokens_path(given: Option<&Path>, loaded: &Loaded, store: &Path) -> PathBuf {
    let configured = || loaded.config.web.tokens.as_deref().map(|path| loaded.beside(path));
    given
        .map(Path::to_owned)
        .or_else(configured)
        .unwrap_or_else(|| store.with_file_name("web.tokens"))
}

/// A file beside another, with a longer name.
fn named(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
