//! `shadowtap check`: validates what an operator wrote, and shows what is in force.
//!
//! Mistakes go to standard error, one per line: `file:line: what; cure`, with exit code 2. What is in force goes to
//! standard output; with `--print` that is a configuration file that could be used as it stands. Captures nothing.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::serve;
use crate::cli::setup::{hostname, now};
use crate::config::load::{Loaded, Rulebook};
use crate::detect::signature::Signatures;
use crate::model::defect::Defect;

/// Exit code of wrong usage or configuration.
const WRONG: u8 = 2;

/// Validates configuration, policy and signatures, and shows what is in force.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Configuration file [default: shadowtap.toml, else /etc/shadowtap/shadowtap.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Policy file [default: as configured, else policy.toml beside the configuration]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Lock file of tool definitions [default: as the policy says, else shadowtap.lock beside the policy]
    #[arg(long, value_name = "FILE")]
    pub pins: Option<PathBuf>,
    /// Print the effective configuration and policy
    #[arg(long)]
    pub print: bool,
}

/// Runs the command.
///
/// # Errors
/// When the output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match in_force(args) {
        Ok(text) => {
            io::stdout().write_all(text.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(defects) => {
            for defect in defects {
                writeln!(io::stderr(), "{defect}")?;
            }
            Ok(ExitCode::from(WRONG))
        }
    }
}

/// What is in force, or every mistake that was found.
fn in_force(args: &Args) -> Result<String, Vec<Defect>> {
    let mut defects = Vec::new();
    // Where the configuration is wrong, a policy that was given is still looked at.
    let loaded = Loaded::load(args.config.as_deref())
        .map_err(|defect| defects.push(defect))
        .unwrap_or_default();
    let key = loaded
        .privacy_key()
        .map_err(|defect| defects.push(defect))
        .unwrap_or_default();
    if let Err(defect) = loaded.clickhouse() {
        defects.push(defect);
    }
    defects.extend(loaded.assets().err());
    let Rulebook {
        policy,
        policy_file,
        pins_file,
    } = loaded
        .rulebook(args.policy.as_deref(), args.pins.as_deref(), false)
        .map_err(|found| defects.extend(found))
        .unwrap_or_default();
    let sinks = loaded
        .sinks(&hostname())
        .map_err(|found| defects.extend(found))
        .unwrap_or_default();
    let dirs = loaded.signature_dirs();
    let signatures = Signatures::load(&dirs).map_err(|found| defects.extend(found)).ok();
    defects.extend(signatures.iter().flat_map(Signatures::check));
    defects.extend(serve::check(&loaded));
    let Some(signatures) = signatures.filter(|_| defects.is_empty()) else {
        return Err(defects);
    };

    let shown = |file: &Option<PathBuf>| {
        file.as_ref()
            .map_or_else(|| "none".to_owned(), |file| file.display().to_string())
    };
    let mut out = format!(
        "# configuration: {}\n# policy: {}\n# pins: {}\n",
        shown(&loaded.file),
        shown(&policy_file),
        shown(&Some(pins_file).filter(|file| file.exists()))
    );
    out.push_str(if key.is_some() {
        "# privacy key: configured\n"
    } else {
        "# privacy key: random, of each run\n"
    });
    let _ = writeln!(
        out,
        "# signatures: {} names, {} credentials and personal data, {} indicators; own folders: {}",
        signatures.names.rules().len(),
        signatures.secrets.rules().len(),
        signatures.poison.rules().len(),
        dirs.len()
    );
    for sink in &sinks {
        let _ = writeln!(out, "# sink: {sink}");
    }
    for (rule, when) in policy.expired(now()) {
        let _ = writeln!(out, "# expired: {rule}, since {when}: it counts no longer");
    }
    if args.print {
        for line in policy.to_string().lines() {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "#   {line}");
        }
        let _ = write!(out, "\n{}", loaded.config.render());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn check(config: &str, policy: &str, print: bool) -> Result<String, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("c.toml"), config).unwrap();
        fs::write(at("p.toml"), policy).unwrap();
        let args = Args {
            config: Some(at("c.toml")),
            policy: Some(at("p.toml")),
            pins: None,
            print,
        };
        let plain = |text: String| text.replace(&format!("{}/", folder.path().display()), "");
        in_force(&args)
            .map(plain)
            .map_err(|found| found.iter().map(|defect| plain(defect.to_string())).collect())
    }

    #[test]
    fn tells_the_mistakes_of_all_files() {
        let policy = "[[approve]]\nport = 0\n[[approve]]\npath = 'x'\n";
        assert_eq!(
            check("[privcy]", policy, true).unwrap_err(),
            [
                "c.toml:1: unknown key `privcy`; did you mean `privacy`?",
                "p.toml:2: port 0 is no port; write a port from 1 to 65535, or leave the key out for any",
                "p.toml:4: path `x` does not start with /; write the path of the URL, such as /mcp or /mcp*",
            ]
        );
    }

    /// A rule of the operator's own is held to its examples.
    #[test]
    fn tells_the_mistakes_of_own_rules() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("own.toml"),
            "schema = 1\n[meta]\nname = 'own'\n[[secret]]\nid = 'x'\n",
        )
        .unwrap();
        let config = format!("[signatures]\ndirs = ['{}']", folder.path().display());
        let told = check(&config, "", false).unwrap_err();
        assert!(
            told.iter().all(|defect| defect.contains("own.toml:")) && !told.is_empty(),
            "{told:?}"
        );
    }

    #[test]
    fn shows_what_is_in_force() {
        let over = "[[approve]]\nport = 1\nexpires = 2000-01-01\n";
        let told = check("", over, false).unwrap();
        assert!(
            told.ends_with("# expired: approve #1, since 2000-01-02T00:00:00.000000Z: it counts no longer\n"),
            "{told}"
        );
        let policy = "[home]\nnetworks = ['10.0.0.0/8']\n[[approve]]\nport = 8000\nowner = 'platform team'\n";
        let short = "# configuration: c.toml\n# policy: p.toml\n# pins: none\n# privacy key: random, of each run\n# signatures: ";
        assert!(check("", policy, false).unwrap().starts_with(short));
        let long = check("[policy]\npath = 'other.toml'", policy, true).unwrap();
        assert!(long.starts_with(short), "{long}");
        assert!(long.contains("\n#   approve #1: platform team [port 8000]\n"), "{long}");
        let printed: crate::config::Config = toml::from_str(&long).unwrap();
        assert_eq!(printed.policy.path, Some("other.toml".into()));
    }
}
