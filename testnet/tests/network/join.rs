//! The two terminals of the README, with its own commands: one starts a network, the other joins it with one command and sends a message
//! through its own node. Only ports and what the commands print are put in.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use ao_testnet::client::Client;
use ao_testnet::network::peers;
use ao_testnet::node::Log;
use ao_testnet::{binary, wait};
use ao_types::Id;
use tokio::process::{Child, Command};

const READY_WITHIN: Duration = Duration::from_secs(120);
/// Ports of the README.
const NETWORK_PORT: &str = "7700";
const OWN_PORT: &str = "7780";

/// The commands of the README's section, by terminal: those of its indented blocks.
fn story() -> [Vec<String>; 2] {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with("Two terminals")).expect("the README tells of two terminals");
    let mut terminals: Vec<Vec<String>> = Vec::new();
    let mut inside = false;
    for line in section.lines() {
        let command = line.strip_prefix("    ");
        if command.is_some() && !inside {
            terminals.push(Vec::new());
        }
        inside = command.is_some();
        if let (Some(command), Some(terminal)) = (command, terminals.last_mut()) {
            terminal.push(command.to_owned());
        }
    }
    terminals.try_into().unwrap_or_else(|found| panic!("two blocks, one for each terminal: {found:?}"))
}

struct Desk {
    folder: tempfile::TempDir,
    port: u16,
    /// The binary under the name that the README uses.
    path: String,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(binary::aonode().unwrap(), bin.join("aonode")).unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        Self { path, port: free_ports(), folder }
    }

    fn filled(&self, command: &str) -> String {
        let own = self.port + 80;
        let put = command.replace(NETWORK_PORT, &self.port.to_string()).replace(OWN_PORT, &own.to_string());
        put.replace("devnet up", &format!("devnet up --port {}", self.port))
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", script]).current_dir(self.folder.path()).env("PATH", &self.path);
        command
            .env("XDG_DATA_HOME", self.folder.path())
            .env_remove("AONODE_DATADIR")
            .env("AONODE_ENDPOINT", self.url(self.port))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs commands as typed; what they print.
    async fn run(&self, script: &str) -> String {
        let ended = self.command(script).output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(ended.status.success(), "{script}\n{}{}", text(&ended.stdout), text(&ended.stderr));
        text(&ended.stdout)
    }

    fn url(&self, port: u16) -> String {
        format!("http://127.0.0.1:{port}")
    }
}

/// A test that fails leaves no process behind.
impl Drop for Desk {
    fn drop(&mut self) {
        let net: PathBuf = self.folder.path().join("net");
        let aonode = self.folder.path().join("bin/aonode");
        let _ = std::process::Command::new(aonode).args(["devnet", "down", "--dir"]).arg(net).stdout(Stdio::null()).status();
    }
}

/// The first of a hundred ports that nobody listens on, below those that the kernel gives away.
fn free_ports() -> u16 {
    let start = 20_000 + (std::process::id() % 100) as u16 * 100;
    let free = |base: &u16| {
        let used = |port: u16| {
            std::net::TcpListener::bind(("127.0.0.1", port)).is_err() || std::net::UdpSocket::bind(("127.0.0.1", port)).is_err()
        };
        !(*base..*base + 100).any(used)
    };
    (start..32_000).step_by(100).find(free).expect("a hundred free ports")
}

/// The one word behind `name` in a text.
fn after<'a>(text: &'a str, name: &str) -> &'a str {
    text.split(name).nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_terminal_starts_a_network_and_another_joins_it() {
    let [one, two] = story();
    let desk = Desk::new();
    let said = desk.run(&desk.filled(&one.join("\n"))).await;
    let hash = after(&said, "--genesis-hash ").to_owned();
    let process = said.lines().last().unwrap().trim().to_owned();
    assert!(Id::parse(&process).is_ok(), "the last command prints the process: {said}");

    // What the first terminal says is what the README says.
    let filled = |command: &String| desk.filled(command).replace("HASH", &hash).replace("PID", &process);
    let (join, rest) = two.split_first().unwrap();
    let join = filled(join);
    assert!(said.contains(&format!("aonode join {} --genesis-hash {hash}", desk.url(desk.port))), "{said}");
    let (mut child, log) = joined(&desk, &join).await;

    // It sees everybody, and the same process with the same state.
    let [own, network] = [desk.url(desk.port + 80), desk.url(desk.port)];
    let here = Client::new(&own).unwrap();
    wait::until("the joined node sees all four", READY_WITHIN, || async { Ok((peers(&here).await?.len() == 4).then_some(())) })
        .await
        .unwrap();
    let listed = || async { Ok(here.get(&format!("/v1/processes/{process}")).await?.json["confirmed_slot"].is_u64().then_some(())) };
    wait::until("the process is confirmed at the joined node", READY_WITHIN, listed).await.unwrap();

    let said = desk.run(&rest.iter().map(filled).collect::<Vec<_>>().join("\n")).await;
    assert!(said.contains(&process), "the process is listed: {said}");
    let [.., printed, spawned] = &said.lines().collect::<Vec<_>>()[..] else { panic!("{said}\n{}", log.tail(20)) };
    assert_eq!(*printed, "5", "{said}\n{}", log.tail(20));
    // A node that schedules nothing has its processes with one that does.
    let identity = here.get("/v1/identity").await.unwrap().json;
    let born = || async { Ok(here.get(&format!("/v1/processes/{spawned}")).await?.json["confirmed_slot"].is_u64().then_some(())) };
    wait::until("the process that was spawned here is confirmed", READY_WITHIN, born).await.unwrap();
    let born = here.get(&format!("/v1/processes/{spawned}")).await.unwrap().json;
    assert_eq!(born["scheduler"], identity["scheduler"]);
    assert_ne!(born["scheduler"], identity["wallet"]);
    // Asked of whom it may be asked: the process's owner, whose key is the first terminal's.
    for endpoint in [own, network] {
        let ask = format!("aonode dry-run {process} --action Eval --data 'return Total' --datadir net/n1 --endpoint {endpoint}");
        wait::until("both have the same", READY_WITHIN, || async { Ok((desk.run(&ask).await.trim() == "5").then_some(())) }).await.unwrap();
    }
    child.start_kill().unwrap();
    child.wait().await.unwrap();
    desk.run("aonode devnet down --dir net").await;
}

/// Joins with one command, and waits until the node says that it is ready.
async fn joined(desk: &Desk, join: &str) -> (Child, Log) {
    // What a shell does for `&`: the node itself is the child.
    let command = format!("exec {}", join.trim_end_matches('&'));
    let mut child = desk.command(&command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (out, err) = (Log::follow(child.stdout.take().unwrap()), Log::follow(child.stderr.take().unwrap()));
    let ready = out.wait_for(|line| line.contains("HTTP"));
    let ready = tokio::time::timeout(READY_WITHIN, ready).await.expect("the joined node is ready");
    ready.unwrap_or_else(|error| panic!("{error:#}\n{}", err.tail(20)));
    (child, err)
}
