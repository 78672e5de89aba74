//! Least privilege: what a sensor gives up between opening its capture sockets and looking into the first packet.
//!
//! In this order: core dumps, the user, capabilities, new privileges by any program, files and TCP ports (Landlock), and
//! system calls (seccomp). Each restriction is the kernel's and cannot be taken back; each is of the calling thread and of
//! those that it starts, so that it is done while there is only one. What the kernel does not offer is left out and told;
//! a user or capabilities that cannot be changed are an error.
//!
//! One filter holds for all threads: they share memory, and a stricter one for some of them would be a courtesy.

mod calls;
mod files;
mod rights;

use std::fmt;
use std::path::PathBuf;

/// The section `[run]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// User whose rights are taken on once the interfaces are open; its primary group alone comes with it.
    pub user: Option<String>,
    /// Whether rights are given up before packets are looked into. Off only to debug.
    pub confine: bool,
    /// Whether `CAP_NET_RAW` is kept, so that an interface that went is captured again when it is back. Without it no
    /// capability is left, and such an interface needs a new start.
    pub reopen: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            user: None,
            confine: true,
            reopen: true,
        }
    }
}

/// What a process still needs once it is confined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// User to become.
    pub user: Option<String>,
    /// Packet sockets may be opened.
    pub capture: bool,
    /// Files and folders to read. Those that are not there are left out.
    pub read: Vec<PathBuf>,
    /// Folders to write in. Those that are not there are made, and given to the user.
    pub write: Vec<PathBuf>,
    /// TCP ports to connect to, on any address.
    pub connect: Vec<u16>,
    /// TCP ports to listen on, on any address.
    pub listen: Vec<u16>,
    /// Names are resolved: the resolver's files and libraries are read, and it uses UDP.
    pub resolve: bool,
    /// Datagrams are sent over IP.
    pub datagrams: bool,
    /// Other processes are looked into: two capabilities are kept for it where they are there, and files are not held, for
    /// Landlock would bar it.
    pub processes: bool,
}

impl Plan {
    /// Whether there is any use for sockets over IP.
    const fn uses_ip(&self) -> bool {
        self.resolve || self.datagrams || !self.connect.is_empty() || !self.listen.is_empty()
    }
}

/// Why a process could not be confined.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// A folder to write in cannot be made.
    #[error("{}: cannot be made: {what}; make it, and give it to the user that the sensor runs as", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The system's words.
        what: String,
    },
    /// Restrictions would not hold for threads that run already.
    #[error("{0} threads run already, and would go on with all rights")]
    Late(usize),
    /// The user is not known here.
    #[error("there is no user {0}; make one (`useradd --system {0}`), or set run.user to one that is there")]
    NoUser(String),
    /// Only root may become somebody else.
    #[error("only root may become user {user} (run.user): {what}")]
    NotRoot {
        /// The user.
        user: String,
        /// The system's words.
        what: String,
    },
    /// The kernel refused to take something away.
    #[error("the kernel refuses to give up {what}: {why}; `--no-confine` goes on with all rights")]
    Refused {
        /// What was to be given up.
        what: &'static str,
        /// The system's words.
        why: String,
    },
}

/// What is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confined {
    /// The user that it runs as.
    pub user: String,
    /// Capabilities that are left.
    pub capabilities: Vec<&'static str>,
    /// Version of Landlock that holds the files; `None` when the kernel has none.
    pub files: Option<u32>,
    /// Whether Landlock holds TCP ports, too.
    pub ports: bool,
    /// Whether system calls are filtered.
    pub calls: bool,
}

/// For the line at start.
impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = match &*self.capabilities.join(", ") {
            "" => "none".to_owned(),
            names => names.to_owned(),
        };
        write!(
            f,
            "confined: user {}; capabilities: {kept}; no core dumps, no new privileges; ",
            self.user
        )?;
        match (self.files, self.ports) {
            (Some(version), true) => write!(f, "files and TCP ports: Landlock {version}")?,
            (Some(version), false) => write!(
                f,
                "files: Landlock {version}; TCP ports: not held, the kernel is too old"
            )?,
            (None, _) => f.write_str("files and TCP ports: not held, the kernel has no Landlock")?,
        }
        f.write_str(if self.calls {
            "; system calls: seccomp"
        } else {
            "; system calls: not held, the kernel has no seccomp filters"
        })
    }
}

impl Plan {
    /// Makes the folders to write in.
    ///
    /// # Errors
    /// When one cannot be made, or the user is not known.
    pub fn prepare(&self) -> Result<(), ConfineError> {
        rights::make_folders(self)
    }

    /// Gives up everything else, for ever. To be called while the process has one thread.
    ///
    /// # Errors
    /// When threads run already, or user or capabilities cannot be changed.
    pub fn apply(&self) -> Result<Confined, ConfineError> {
        let threads = rights::threads();
        if threads > 1 {
            return Err(ConfineError::Late(threads));
        }
        // What is found through names must be found before the files are gone.
        let (user, capabilities) = rights::give_up(self)?;
        let (files, ports) = if self.processes {
            (None, false)
        } else {
            files::give_up(self)?
        };
        Ok(Confined {
            user,
            capabilities,
            files,
            ports,
            calls: calls::give_up(self)?,
        })
    }
}
