//! The aos command line from npm, unmodified, end to end: it finds its process, sends a line, shows the answer and the new prompt.
//!
//! npm's newest `@permaweb/aos` is 1.2.18 of early 2024; 2.x is handed out by a host of its own and is not on npm. What 1.2.18 can and
//! cannot do against any node but the ones it was written for:
//! * it takes messenger, compute unit and gateway from globals that its SDK reads while it loads, not from flags or environment:
//!   `suites/aos/preset.mjs` sets them;
//! * before each line it asks the fixed host `su-router.ao-testnet.xyz` where the process is scheduled: the preset answers for it, as a
//!   line in a hosts file or a proxy would;
//! * it cannot spawn: the scheduler's address is a constant in it, and a process of another scheduler is refused here, as the protocol
//!   wants. It does find and use a process that is there already, by its owner and module (`AOS_SRC`), which is how this test runs it;
//! * it sends `function=eval` and reads `Output.data.output`, the form before AOS 2: the process below understands that form. The
//!   traffic of aos 2, as recorded, is a case of `suites/aoconnect/aos.test.mjs`.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use ao_testnet::client::Client;
use ao_testnet::items::Person;
use ao_testnet::node::Setup;
use ao_testnet::{npm, say, suite, wait};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

const PROGRAM: &str = include_str!("../suites/aos/aos1.lua");

/// A terminal session of the command line.
struct Session {
    child: Child,
    shown: Arc<Mutex<String>>,
}

impl Session {
    fn start(mut command: Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        let shown = Arc::new(Mutex::new(String::new()));
        let (out, err) = (child.stdout.take().context("piped")?, child.stderr.take().context("piped")?);
        for mut stream in [Box::pin(out) as std::pin::Pin<Box<dyn tokio::io::AsyncRead + Send>>, Box::pin(err)] {
            let into = Arc::clone(&shown);
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                    into.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
                }
            });
        }
        Ok(Self { child, shown })
    }

    /// Types a line, waits until the text is shown, and forgets what was shown.
    async fn line(&mut self, line: &str, wanted: &str) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("the session is open")?;
        stdin.write_all(format!("{line}\n").as_bytes()).await?;
        self.shows(wanted).await.with_context(|| format!("after the line {line:?}"))
    }

    async fn shows(&mut self, wanted: &str) -> Result<()> {
        let shown = Arc::clone(&self.shown);
        let look = || {
            let mut text = shown.lock().unwrap();
            let found = text.find(wanted).map(|at| text.drain(..at + wanted.len()).count());
            std::future::ready(Ok(found))
        };
        let found = wait::until(&format!("{wanted:?} on the terminal"), Duration::from_secs(60), look).await;
        found.with_context(|| format!("the terminal shows {:?}", self.shown.lock().unwrap())).map(drop)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_aos_command_line_finds_its_process_and_evaluates() {
    let folder = tempfile::tempdir().unwrap();
    let node = Setup::new(folder.path().join("data")).start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let wallet = suite::wallets(node.base()).await.unwrap().join("alice.json");
    let alice = Person::with_jwk(&std::fs::read_to_string(&wallet).unwrap()).unwrap();
    let module = client.upload(&alice.module("lua@5.3a", "64-mb", PROGRAM)).await.unwrap();
    let process = client.spawn(&alice, Some(module), &[("Name", "Personal AOS")], " ").await.unwrap();

    let packages = npm::packages().unwrap();
    let mut command = Command::new("node");
    command
        .arg("--import")
        .arg(npm::suites().join("aos/preset.mjs"))
        .arg(packages.join("node_modules/@permaweb/aos/bin/aos.js"))
        .arg(&wallet);
    command.env("AO_NODE", node.base()).env("AOS_SRC", module.to_string()).env("ARWEAVE_GRAPHQL", format!("{}/graphql", node.base()));
    command.env("NO_COLOR", "1").env("NODE_NO_WARNINGS", "1").current_dir(folder.path());
    let mut session = Session::start(command).unwrap();
    session.shows(&process.to_string()).await.unwrap();
    session.shows("aos> ").await.unwrap();
    session.line("6 * 7", "42\n").await.unwrap();
    session.shows("aos[1]> ").await.unwrap();
    session.line("Greeting = 'hello'", "aos[2]> ").await.unwrap();
    session.line("Greeting .. ' from aos'", "hello from aos\n").await.unwrap();
    session.shows("aos[3]> ").await.unwrap();
    session.line(".exit", "Exiting...").await.unwrap();
    let status = tokio::time::timeout(Duration::from_secs(20), session.child.wait()).await.expect("it ends").unwrap();
    assert!(status.success(), "{status}");
    say("@permaweb/aos 1.2.18: connected, evaluated, printed");
    let _ = node.stop().await.unwrap();
}
