//! `testnet`, `devnet` and `join` as an operator uses them: real processes that outlive the command which started them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ao_testnet::binary;
use serde_json::Value;

/// Exit codes of operations.md §1.
const USAGE: i32 = 2;
const PRECONDITION: i32 = 9;
const SIGNING_SAFETY: i32 = 11;
const NOT_READY: i32 = 14;
const INTERRUPTED: i32 = 130;
/// A process that was killed is gone long before.
const ENDED_WITHIN: Duration = Duration::from_secs(60);

struct Lab(tempfile::TempDir);

impl Lab {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Exit code, standard output and standard error of `aonode`.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(binary::aonode().unwrap());
        command.args(["--output", "json"]).args(arguments).stdin(Stdio::null());
        command.env("XDG_DATA_HOME", self.path("home")).env_remove("AONODE_DATADIR");
        let ended = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (ended.status.code().unwrap_or(-1), text(ended.stdout), text(ended.stderr))
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let (exit, out, err) = self.run(arguments);
        assert_eq!(exit, 0, "{arguments:?}: {out}{err}");
        serde_json::from_str(&out).unwrap()
    }

    /// A verb of the devnet in this lab.
    fn devnet(&self, arguments: &[&str]) -> (i32, String, String) {
        let net = self.path("net");
        self.run(&[&["devnet"], arguments, &["--dir", net.to_str().unwrap()]].concat())
    }

    fn status(&self) -> (i32, Value) {
        let (exit, out, err) = self.devnet(&["status"]);
        let value: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
        (exit, value["items"][0].clone())
    }
}

/// A test that fails leaves no process behind.
impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.devnet(&["down"]);
    }
}

/// Whether a process ended; where nobody collects orphans, what is left of it is a zombie.
fn ended(pid: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with('Z') || rest.is_empty())
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, from.metadata().unwrap().permissions()).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_network_comes_up_is_harmed_and_goes_down() {
    let lab = Lab::new();
    let up = ["up", "--nodes", "1", "--plugin", "solo", "--port", "0"];
    let (exit, out, err) = lab.devnet(&up);
    assert_eq!(exit, 0, "{out}{err}");
    let made: Value = serde_json::from_str(&out).unwrap();
    let hash = made["genesis_hash"].as_str().unwrap();
    let (exit, node) = lab.status();
    assert_eq!((exit, &node["process"], &node["ready"], &node["engine"]), (0, &"running".into(), &true.into(), &"solo".into()));
    let (api, pid) = (node["api"].as_str().unwrap(), node["pid"].as_i64().unwrap());
    assert!(!ended(pid));
    assert_eq!(lab.devnet(&up).0, 0, "again");
    assert_eq!(lab.status().1["pid"], pid, "what runs already stays");

    // Who knows the address and the hash of a network can join it, and nobody with another hash is taken in.
    assert_eq!(lab.run(&["join", api]).0, USAGE);
    let (exit, _, err) = lab.run(&["join", api, "--genesis-hash", &"0".repeat(64), "--no-start"]);
    assert_eq!(exit, PRECONDITION, "{err}");
    let joined = lab.json(&["join", api, "--genesis-hash", hash, "--no-start"]);
    assert_eq!((&joined["genesis_hash"], &joined["network"]), (&hash.into(), &"dev".into()));
    let shown = lab.json(&["genesis", "show", "--network", "dev"]);
    assert_eq!((&shown["genesis_hash"], &shown["genesis"]["validators"][0]["peer_id"]), (&hash.into(), &node["peer"]));

    // A second signer with the same key does not start, whatever directory it runs from.
    let (original, copy) = (lab.path("net/n1"), lab.path("copy"));
    copy_tree(&original, &copy);
    std::fs::remove_file(copy.join("LOCK")).unwrap();
    std::fs::write(copy.join("config.toml"), "[network]\nname = \"dev\"\n[api]\nlisten = \"127.0.0.1:0\"\n").unwrap();
    let (exit, _, err) = lab.run(&["start", "--datadir", copy.to_str().unwrap()]);
    assert_eq!(exit, SIGNING_SAFETY, "{err}");
    assert!(err.contains("another process on this machine signs"), "{err}");

    assert_eq!(lab.devnet(&["chaos", "pause", "n1"]).0, 0);
    let (exit, node) = lab.status();
    assert_eq!((exit, &node["process"]), (NOT_READY, &"paused".into()));
    assert_eq!(lab.devnet(&["chaos", "resume", "all"]).0, 0);
    assert_eq!(lab.status().0, 0);
    assert_eq!(lab.devnet(&["chaos", "kill", "n1"]).0, 0);
    assert_eq!(lab.status().1["process"], "stopped");
    assert!(ended(pid));
    let (exit, _, err) = lab.devnet(&["chaos", "restart", "n1"]);
    assert_eq!(exit, 0, "{err}");
    assert_eq!(lab.status().1["ready"], true);
    assert!(lab.devnet(&["logs", "n1", "--lines", "1000"]).1.contains("the node is ready"));
    assert_eq!(lab.devnet(&["logs", "n2"]).0, 4);

    let pid = lab.status().1["pid"].as_i64().unwrap();
    assert_eq!(lab.devnet(&["down"]).0, 0);
    assert!(ended(pid), "nothing is left");
    assert_eq!(lab.status().1["process"], "stopped");
    assert_eq!(lab.devnet(&["reset"]).0, 0);
    assert!(!lab.path("net").exists());
}

#[test]
fn a_generated_network_is_whole_and_nodes_refuse_what_they_cannot_be_part_of() {
    let lab = Lab::new();
    let out = lab.path("net");
    let out = out.to_str().unwrap();
    let made = lab.json(&["testnet", "generate", "--validators", "3", "--plugin", "nobody-knows", "--port", "0", "--out", out]);
    let nodes = made["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3);
    assert_eq!(lab.run(&["testnet", "generate", "--out", out]).0, PRECONDITION, "something is there");
    assert_eq!(lab.run(&["testnet", "generate", "--validators", "0", "--out", lab.path("none").to_str().unwrap()]).0, USAGE);
    for node in nodes {
        let root = lab.path("net").join(node["name"].as_str().unwrap());
        let root = root.to_str().unwrap();
        let shown = lab.json(&["genesis", "show", "--datadir", root]);
        assert_eq!((&shown["genesis_hash"], &shown["total_stake"]), (&made["genesis_hash"], &"300".into()));
        let keys = lab.json(&["keys", "list", "--datadir", root]);
        let of = |kind: &str| keys["items"].as_array().unwrap().iter().filter(|row| row["type"] == kind).count();
        assert_eq!((of("bls"), of("node")), (1, 1));
        assert_eq!(lab.json(&["slashing", "show", "--datadir", root])["items"][0]["what"], "nothing signed");
        let (exit, _, err) = lab.run(&["start", "--datadir", root]);
        assert_eq!(exit, PRECONDITION, "{err}");
        assert!(err.contains("`nobody-knows`"), "{err}");
    }
}

/// `aonode devnet` in a terminal of its own, up to the line that says that its nodes are ready.
struct Foreground {
    child: std::process::Child,
    pids: Vec<i64>,
    /// Read to the end, so that it never waits for room.
    rest: Option<std::thread::JoinHandle<String>>,
}

impl Foreground {
    fn start(lab: &Lab) -> Self {
        let net = lab.path("net");
        let mut command = Command::new(binary::aonode().unwrap());
        command.args(["--output", "json", "devnet", "--port", "0", "--persist", net.to_str().unwrap()]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        let up: Value = serde_json::from_str(&first).unwrap();
        assert_eq!((up["schema"].as_str(), up["nodes"].as_array().map(Vec::len)), (Some("devnet-up/v1"), Some(4)), "{first}");
        ao_testnet::say(format_args!("four nodes are ready after {} ms", up["ready_ms"]));
        let (_, status, _) = lab.devnet(&["status"]);
        let status: Value = serde_json::from_str(&status).unwrap();
        let pids = status["items"].as_array().unwrap().iter().map(|row| row["pid"].as_i64().unwrap()).collect();
        let rest = std::thread::spawn(move || {
            let mut rest = String::new();
            lines.read_to_string(&mut rest).unwrap();
            rest
        });
        Self { child, pids, rest: Some(rest) }
    }

    fn until(&self, what: &str, holds: impl Fn(i64) -> bool) {
        let began = Instant::now();
        while !self.pids.iter().all(|pid| holds(*pid)) {
            assert!(began.elapsed() < ENDED_WITHIN, "{what}: {:?}", self.pids);
            std::thread::yield_now();
        }
    }
}

#[test]
fn nodes_end_with_the_command_that_shows_them_even_when_it_is_killed() {
    let lab = Lab::new();
    let mut killed = Foreground::start(&lab);
    assert!(killed.pids.iter().all(|pid| !ended(*pid)));
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    killed.until("the kernel ends the nodes", ended);

    // The same folder, as it was left.
    let mut told = Foreground::start(&lab);
    let pid = i32::try_from(told.child.id()).unwrap();
    // SAFETY: a signal to a child that was not waited for yet, so the id is still its own.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGINT) }, 0);
    assert_eq!(told.child.wait().unwrap().code(), Some(INTERRUPTED));
    assert!(told.pids.iter().all(|pid| ended(*pid)), "nothing is left: {:?}", told.pids);
    let steps = told.rest.take().unwrap().join().unwrap();
    assert!(steps.lines().all(|line| !line.contains("\"ok\":false")), "{steps}");
    assert!(lab.path("net/testnet.json").exists(), "what was asked to be kept is kept");
}
