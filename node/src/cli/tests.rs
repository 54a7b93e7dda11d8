//! The command line as a user meets it: arguments in, text and exit code out. Verbs that need a node are in `tests/online.rs`.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::exit::Exit;
use super::output::Io;

mod database;
mod network;

/// A data directory of its own for each test.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn run(&self, arguments: &[&str]) -> (Exit, String, String) {
        let root = self.0.path().join("data");
        let all = ["aonode", "--datadir", root.to_str().unwrap()].iter().chain(arguments).map(OsString::from).collect::<Vec<_>>();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut input = std::io::Cursor::new(b"from stdin".to_vec());
        let io = Io { out: &mut out, err: &mut err, input: Some(&mut input), terminal: false };
        let exit = super::run(all, io);
        (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let (exit, out, err) = self.run(&[&["--output", "json"], arguments].concat());
        assert_eq!(exit, Exit::Ok, "{err}");
        serde_json::from_str(&out).unwrap()
    }
}

#[test]
fn wrong_arguments_end_with_2_and_say_what_is_right() {
    let home = Home::new();
    for (arguments, says) in [
        (&[][..], "Usage"),
        (&["stauts"], "status"),
        (&["keys", "new", "--kind", "dsa"], "rsa"),
        (&["--timeout", "soon", "status"], "is not a time like"),
        (&["--endpoint", "nowhere", "status"], "--endpoint nowhere"),
        (&["process", "show", "short"], "43 characters"),
        (&["--network", "../up", "--datadir", "", "config", "path"], ""),
    ] {
        let (exit, out, err) = home.run(arguments);
        assert_eq!(exit, Exit::Usage, "{arguments:?}: {err}");
        assert!(out.is_empty() && err.contains(says), "{arguments:?}: {out} {err}");
    }
}

#[test]
fn help_and_version_are_results() {
    let home = Home::new();
    let (exit, out, err) = home.run(&["--help"]);
    assert_eq!((exit, err.as_str()), (Exit::Ok, ""));
    for verb in ["dev", "devnet", "start", "console", "verify", "explain"] {
        assert!(out.lines().any(|line| line.trim_start().starts_with(verb)), "{verb} is not in the help:\n{out}");
    }
    assert!(out.lines().count() < 66, "help that does not fit a screen is not read:\n{out}");
    for verb in ["bench", "dry-run", "keys"] {
        let (_, out, _) = home.run(&[verb, "--help"]);
        assert!(out.lines().count() < 50 && out.contains("Example:"), "{out}");
    }
    assert_eq!(home.run(&["--version"]).1.trim(), format!("aonode {}", crate::VERSION));
    let version = home.json(&["version"]);
    assert_eq!((version["schema"].as_str(), version["version"].as_str()), (Some("version/v1"), Some(crate::VERSION)));
}

/// Every verb explains itself with an example that this very parser accepts.
#[test]
fn every_help_has_an_example_that_parses() {
    use clap::CommandFactory;
    let command = super::args::Cli::command();
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let text = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<_> = text.lines().filter(|line| line.trim_start().starts_with("aonode")).collect();
        assert!(!examples.is_empty(), "{} has no example", verb.get_name());
        for example in examples {
            let example = example.split(['#', '>']).next().unwrap().replace('\'', "").replace("1 + 1", "1+1");
            let parsed = super::args::Cli::command().try_get_matches_from(example.split_whitespace());
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
        }
    }
}

#[test]
fn clap_finds_nothing_wrong() {
    use clap::CommandFactory;
    super::args::Cli::command().debug_assert();
}

#[test]
fn init_keys_config() {
    let home = Home::new();
    let (exit, _, err) = home.run(&["keys", "list"]);
    assert_eq!(exit, Exit::Precondition, "{err}");
    assert!(err.contains("run `aonode init`"), "{err}");
    let made = home.json(&["init", "--network", "mine"]);
    assert_eq!(made["network"], "mine");
    assert_ne!(made["scheduler"], made["messenger"]);
    assert_eq!(home.run(&["init"]).0, Exit::Precondition, "twice");
    assert_eq!(home.json(&["init", "--force"])["scheduler"], made["scheduler"], "nothing is overwritten");

    let key = home.json(&["keys", "new", "--kind", "ethereum", "--role", "client"]);
    assert_eq!((key["kind"].as_str(), &key["roles"][0]), (Some("ethereum"), &Value::from("client")));
    let listed = home.json(&["keys", "list"]);
    let types: Vec<_> = listed["items"].as_array().unwrap().iter().map(|row| row["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["wallet", "wallet", "wallet", "wallet", "node"]);
    let shown = home.json(&["keys", "show", key["address"].as_str().unwrap()]);
    assert_eq!(shown["address"], key["address"]);
    assert_eq!(home.run(&["keys", "show", "nobody"]).0, Exit::NotFound);

    let config = home.json(&["--set", "compute.workers=3", "config", "show"]);
    let row = |key: &str| config["items"].as_array().unwrap().iter().find(|row| row["key"] == key).unwrap().clone();
    assert_eq!((row("compute.workers")["value"].as_i64(), row("network.name")["value"].as_str()), (Some(3), Some("mine")));
    assert_eq!(row("compute.workers")["origin"], "flag --set compute.workers");
    assert!(row("chain.block_interval")["origin"].as_str().unwrap().contains("config.toml:"));
    assert_eq!(home.run(&["config", "check"]).0, Exit::Ok);
    let (exit, _, err) = home.run(&["--set", "compute.wrokers=3", "config", "check"]);
    assert_eq!(exit, Exit::Config);
    assert!(err.contains("did you mean `compute.workers`?"), "{err}");
    assert!(home.run(&["config", "path"]).1.trim().ends_with("data/config.toml"));
}

/// F44 at the surface: a key others can read ends every verb that would use it with exit code 3 and the command that mends it, and no
/// secret of the directory is in anything printed.
#[test]
fn loose_permissions_and_secrets() {
    let home = Home::new();
    home.json(&["init"]);
    let listed = home.json(&["keys", "list"]);
    let path = listed["items"][0]["path"].as_str().unwrap().to_owned();
    let secrets: Vec<String> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["type"] == "node", std::fs::read_to_string(entry["path"].as_str().unwrap()).unwrap()))
        .map(|(node, text)| if node { text } else { serde_json::from_str::<Value>(&text).unwrap()["d"].as_str().unwrap().to_owned() })
        .chain([std::fs::read_to_string(home.0.path().join("data/api-token")).unwrap()])
        .collect();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (exit, out, err) = home.run(&["keys", "list"]);
    assert_eq!(exit, Exit::Config);
    assert!(err.contains("mode 0644") && err.contains(&format!("chmod 600 {path}")), "{err}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let everything =
        [home.run(&["keys", "list"]), home.run(&["config", "show", "--origin"]), home.run(&["-vv", "init", "--force"]), (exit, out, err)];
    for (_, out, err) in everything {
        assert!(secrets.iter().all(|secret| !out.contains(secret) && !err.contains(secret)), "{out}{err}");
    }
}

#[test]
fn errors_for_programs_are_json() {
    let home = Home::new();
    let (exit, out, err) = home.run(&["--output", "json", "keys", "list"]);
    assert_eq!((exit, out.as_str()), (Exit::Precondition, ""));
    let value: Value = serde_json::from_str(&err).unwrap();
    assert_eq!((value["schema"].as_str(), value["error"]["exit"].as_u64()), (Some("error/v1"), Some(9)));
}

#[test]
fn explain_knows_every_code() {
    let home = Home::new();
    assert!(home.run(&["explain", "AON-1004"]).1.starts_with("AON-1004  "));
    assert!(home.run(&["explain", "1004"]).1.contains("HTTP status 400, exit code 7"));
    assert!(home.run(&["explain", "9"]).1.starts_with("exit code 9"));
    assert_eq!(home.run(&["explain", "AON-9999"]).0, Exit::NotFound);
    assert_eq!(home.json(&["explain"])["items"].as_array().unwrap().len(), crate::Code::ALL.len() + Exit::ALL.len());
}

#[test]
fn completions_name_the_verbs() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let (exit, out, _) = home.run(&["completions", shell]);
        assert!(exit == Exit::Ok && out.contains("dry-run"), "{shell}");
    }
}

/// One id in 64 begins with a hyphen, and then may look like any flag.
#[test]
fn ids_may_begin_with_a_hyphen() {
    use clap::{CommandFactory, FromArgMatches};
    for start in ["-1", "--", "-q", "-v", "-h", "-V", "-o", "--q", "--help"] {
        let id = format!("{start:A<43}");
        let id = id.as_str();
        for arguments in [
            &["process", "show", id][..],
            &["process", "spawn", "--module", id, "--scheduler", id, "--wallet", id],
            &["message", "send", "--process", id, "--tag", id, "--data", id, "--wait"],
            &["message", "trace", id],
            &["message", "result", id, "--process", id],
            &["eval", id, "-1", "--wallet", id],
            &["dry-run", id, "--from", id, "--action", "Info"],
            &["console", id],
            &["verify", id, "-q"],
            &["keys", "show", id],
        ] {
            let all = ["aonode"].iter().chain(arguments);
            let cli = super::Cli::command().try_get_matches_from(all).and_then(|matches| super::Cli::from_arg_matches(&matches));
            let cli = cli.unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
            let found = format!("{:?}", cli.command).matches(id).count();
            assert_eq!(found, arguments.iter().filter(|argument| **argument == id).count(), "{arguments:?}: {:?}", cli.command);
        }
    }
}
