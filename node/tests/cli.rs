//! The command line against a running node: every verb that asks one, end to end over real sockets, in this process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use aonode::cli::client::Client;
use aonode::cli::exit::Exit;
use aonode::cli::output::Io;
use aonode::cli::run::{Home, funded};
use aonode::cli::service::{Service, Setup};
use aonode::config::{ByteSize, Config};
use aonode::demo::{Demo, Seat, modules, wallets};
use serde_json::Value;

/// A development node on free ports with a directory of its own; stops when dropped.
struct Lab {
    folder: tempfile::TempDir,
    url: String,
    metrics: String,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Lab {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("data");
        let (ready, when_ready) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let service = start(&root).await;
                ready.send((service.api().to_owned(), service.metrics().unwrap().to_owned())).unwrap();
                let _ = stopped.await;
                service.stop().await;
            });
        });
        let (url, metrics) = when_ready.recv().expect("the node started");
        Self { folder, url, metrics, stop: Some(stop), thread: Some(thread) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> (Exit, String, String) {
        let data = self.path("data");
        let fixed = ["aonode", "--datadir", data.to_str().unwrap(), "--endpoint", &self.url];
        let all: Vec<OsString> = fixed.iter().chain(arguments).map(OsString::from).collect();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut input = std::io::Cursor::new(input.as_bytes().to_vec());
        let io = Io { out: &mut out, err: &mut err, input: Some(&mut input), terminal: false };
        let exit = aonode::cli::run(all, io);
        (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    fn run(&self, arguments: &[&str]) -> (Exit, String, String) {
        self.run_with(arguments, "")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let (exit, out, err) = self.run(&[arguments, &["--output", "json"]].concat());
        assert_eq!(exit, Exit::Ok, "{arguments:?}: {out}{err}");
        serde_json::from_str(&out).unwrap()
    }

    /// Spawns a process with this source and gives its id.
    fn spawn(&self, source: &str) -> String {
        let file = self.path("source.lua");
        std::fs::write(&file, source).unwrap();
        let data = format!("@{}", file.display());
        let made = self.json(&["process", "spawn", "--tag", "Name=test", "--tag", "On-Boot=Data", "--data", &data, "--wait"]);
        made["id"].as_str().unwrap().to_owned()
    }

    fn get(&self, url: &str, path: &str) -> Vec<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Client::new(url, Duration::from_secs(30)).unwrap().get_bytes(path)).unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().expect("the node stopped");
    }
}

async fn start(root: &Path) -> Service {
    let home = Home::new(Some(root)).unwrap();
    let (data, _) = home.open().unwrap();
    let mut config = Config::default();
    config.network.name = wallets::NETWORK.into();
    // As `aonode dev`: whoever tests on a nearly full disk should be able to.
    config.storage.reserve = ByteSize(64 << 20);
    for listen in [&mut config.api.listen, &mut config.admin.listen, &mut config.metrics.listen] {
        listen.set_port(0);
    }
    // Compiled once for all runs of the tests.
    let modules = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"));
    let worker = Some(PathBuf::from(env!("CARGO_BIN_EXE_aonode")));
    Service::start(Setup { loaded: config.into(), data, member: None, levels: None, accounts: funded().unwrap(), modules, worker })
        .await
        .unwrap()
}

const COUNTER: &str = "Total = 0
Handlers.add('add', 'Add', function(msg)
  Total = Total + tonumber(msg.Tags.Quantity)
  print(Total)
  Send({ Target = ao.id, Action = 'Added', Data = tostring(Total) })
end)";

#[test]
fn processes_and_messages() {
    let lab = Lab::start();
    let status = lab.json(&["status"]);
    assert_eq!((status["schema"].as_str(), status["ready"].as_bool()), (Some("status/v1"), Some(true)));
    assert_eq!(status["identity"]["engine"], "solo");

    let process = lab.spawn(COUNTER);
    let listed = lab.json(&["process", "list"]);
    assert!(listed["items"].as_array().unwrap().iter().any(|row| row["id"] == process.as_str()), "{listed}");
    let sent = lab.json(&["message", "send", "--process", &process, "--action", "Add", "--tag", "Quantity=5", "--wait"]);
    let message = sent["id"].as_str().unwrap();
    assert_eq!(sent["result"]["Messages"][0]["Data"], "5", "{sent}");
    let result = lab.json(&["message", "result", message]);
    assert_eq!(result["result"], sent["result"], "found without naming its process");
    let trace = lab.json(&["message", "trace", message]);
    assert_eq!(trace["entries"][0]["message"], message, "{trace}");
    let shown = lab.json(&["process", "show", &process]);
    assert!(shown["head"]["slot"].as_u64() >= Some(1), "{shown}");
    let (_, out, _) = lab.run(&["process", "show", &process]);
    let born = out.lines().find_map(|line| line.strip_prefix("Spawned at")).expect("a line for people").trim();
    assert!(born.starts_with("20") && born.ends_with('Z') && born.contains('T'), "times are RFC 3339: {born}");

    let (exit, out, _) = lab.run(&["eval", &process, "Total * 2"]);
    assert_eq!((exit, out.as_str()), (Exit::Ok, "10\n"));
    let (exit, out, _) = lab.run_with(&["eval", &process, "-"], "Total * 3");
    assert_eq!((exit, out.as_str()), (Exit::Ok, "15\n"), "code from standard input");
    let (exit, out, _) = lab.run(&["dry-run", &process, "--action", "Eval", "--data", "Total = 99; return Total"]);
    assert_eq!((exit, out.as_str()), (Exit::Ok, "99\n"));
    assert_eq!(lab.run(&["eval", &process, "Total"]).1, "5\n", "a dry run leaves no trace");
}

#[test]
fn failures_have_their_exit_codes() {
    let lab = Lab::start();
    let process = lab.spawn("");
    let nobody = "A".repeat(43);
    let (exit, _, err) = lab.run(&["process", "show", &nobody]);
    assert_eq!(exit, Exit::NotFound);
    assert!(err.contains("aonode explain AON-3001"), "{err}");
    let (exit, _, err) = lab.run(&["message", "send", "--process", &nobody, "--action", "x"]);
    assert_eq!(exit, Exit::NotFound, "{err}");
    assert_eq!(lab.run(&["message", "result", &nobody]).0, Exit::NotFound);
    let (exit, out, _) = lab.run(&["eval", &process, "error('boom')"]);
    assert_eq!(exit, Exit::ProcessError);
    assert!(out.contains("boom"), "{out}");
    let (exit, _, err) = lab.run(&["process", "spawn", "--module", &nobody]);
    assert!(matches!(exit, Exit::NotFound | Exit::Refused), "{exit:?} {err}");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(lab.run(&["--endpoint", &format!("http://127.0.0.1:{port}"), "status"]).0, Exit::Usage, "an endpoint twice");
    let (exit, _, err) = lab.run(&["message", "send", "--process", &process, "--wallet", "nobody.json"]);
    assert_eq!(exit, Exit::NotFound, "{err}");
}

#[test]
fn the_console_evaluates_lines_and_shows_prints() {
    let lab = Lab::start();
    let process = lab.spawn(COUNTER);
    let file = lab.path("more.lua");
    std::fs::write(&file, "Loaded = 'from a file'\nreturn Loaded").unwrap();
    let lines = format!("X = 20\n\nX + 1\n.load {}\n.exit\nX = 'never'\n", file.display());
    let (exit, out, err) = lab.run_with(&["console", &process], &lines);
    assert_eq!(exit, Exit::Ok, "{err}");
    assert!(out.contains("21\n") && out.contains("from a file\n"), "{out}");
    assert_eq!(lab.run(&["eval", &process, "X"]).1, "20\n", "nothing is evaluated after .exit");
    // What the process prints in a handler meanwhile is shown as well: it sends itself a message here.
    let lines = "Send({ Target = ao.id, Action = 'Add', Quantity = '7' })\nTotal\n";
    let (exit, out, err) = lab.run_with(&["console", &process], lines);
    assert_eq!(exit, Exit::Ok, "{err}{out}");
    let (_, out, _) = lab.run_with(&["console", &process], "print('said once'); return 2\n1 + 1\n");
    assert_eq!(out.matches("said once").count(), 1, "{out}");
    let (exit, _, _) = lab.run_with(&["console", &process], "error('x')\n");
    assert_eq!(exit, Exit::ProcessError);
}

#[test]
fn what_a_node_serves_can_be_verified() {
    let lab = Lab::start();
    let process = lab.spawn(COUNTER);
    for quantity in 1..=5 {
        lab.json(&["message", "send", "--process", &process, "--action", "Add", "--tag", &format!("Quantity={quantity}"), "--wait"]);
    }
    let (exit, out, err) = lab.run(&["verify", &process]);
    assert_eq!(exit, Exit::Ok, "{out}{err}");
    assert!(out.contains("hash chain to ") && !out.contains("BROKEN"), "{out}");
    let message = lab.json(&["message", "send", "--process", &process, "--action", "Add", "--tag", "Quantity=1", "--wait"]);
    let (exit, out, _) = lab.run(&["verify", message["id"].as_str().unwrap()]);
    assert!(exit == Exit::Ok && out.contains("Message "), "{out}");
    assert_eq!(lab.run(&["verify", &"B".repeat(43)]).0, Exit::NotFound);

    // The same log from a file, after the node is gone; and with one byte changed.
    let mut log = lab.get(&lab.url, &format!("v1/processes/{process}/bundle"));
    let file = lab.path("log.bundle");
    std::fs::write(&file, &log).unwrap();
    let endpoint = ["--output", "json", "verify", file.to_str().unwrap()];
    let (exit, out, _) = lab.run(&endpoint);
    let verified: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((exit, verified["ok"].as_bool()), (Exit::Ok, Some(true)), "{out}");
    let last = log.len() - 1;
    log[last] ^= 1;
    std::fs::write(&file, &log).unwrap();
    let (exit, out, _) = lab.run(&["verify", file.to_str().unwrap()]);
    assert_eq!(exit, Exit::Verification);
    assert!(out.contains("BROKEN"), "{out}");
}

#[test]
fn the_demonstration_holds() {
    let lab = Lab::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = Client::new(&lab.url, Duration::from_secs(120)).unwrap();
    let told = std::cell::RefCell::new(Vec::new());
    let wrong = runtime.block_on(async {
        let seat = Seat::of("n1", client).await.unwrap();
        let wallet = wallets::wallets(wallets::NETWORK).unwrap().swap_remove(0);
        let mut demo = Demo::new(vec![seat], wallet, |step| {
            told.borrow_mut().push(step.clone());
            Ok(())
        });
        demo.one_node(Err(modules::Error::NoCache)).await.unwrap();
        // What several nodes do together, one can do alone.
        demo.token().await.unwrap();
        demo.between_schedulers().await.unwrap();
        demo.wrong()
    });
    let told = told.into_inner();
    assert_eq!(wrong, 0, "{told:#?}");
    assert!(told.len() >= 8 && told.iter().any(|step| step.shown.starts_with("left out")), "{told:#?}");
}

#[test]
fn metrics_count_what_happened() {
    let lab = Lab::start();
    let process = lab.spawn(COUNTER);
    lab.json(&["message", "send", "--process", &process, "--action", "Add", "--tag", "Quantity=1", "--wait"]);
    let text = String::from_utf8(lab.get(&lab.metrics, "metrics")).unwrap();
    let value = |name: &str| {
        let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap_or_else(|| panic!("{name} is missing:\n{text}")).rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
    };
    assert!(value("aonode_messages_total{state=\"assigned\"}") >= 2.0);
    assert!(value("aonode_messages_total{state=\"computed\"}") >= 2.0);
    assert_eq!(value("aonode_ready"), 1.0);
    assert!(value("aonode_disk_free_bytes") > 0.0);
    assert!(value("process_resident_memory_bytes") > 0.0);
    assert!(text.contains("aonode_db_bytes{family="), "{text}");
}

#[test]
fn bench_counts_every_message() {
    let lab = Lab::start();
    let measured = lab.json(&["bench", "--remote", "--messages", "40", "--processes", "3", "--concurrency", "4", "--payload", "10"]);
    assert_eq!(measured["setting"]["messages"], 40);
    assert!(measured["messages_per_s"].as_f64().unwrap() > 0.0 && measured["post"]["p99_ms"].as_f64().unwrap() > 0.0, "{measured}");
    assert_eq!(lab.run(&["bench", "--remote", "--messages", "0"]).0, Exit::Usage);
}
