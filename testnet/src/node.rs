//! One real `aonode` process: start, ready line, kill -9, restart on the same data, logs, end.
//!
//! A [`Setup`] is what stays the same over restarts; a [`Node`] is one life of it. Ports are chosen by the kernel and read from the
//! ready line, so any number of nodes run beside each other. The process ends with its `Node`, whatever the test did.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::binary;

/// A node that says nothing for so long does not start.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A node that was asked to end has ended by then; the shipped promise is 5 s.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// How a node is started; the same for each of its lives.
#[derive(Clone, Debug)]
pub struct Setup {
    folder: PathBuf,
    env: Vec<(String, String)>,
    files_max: Option<u64>,
    service: bool,
    namespace: Option<String>,
}

impl Setup {
    /// A development node that keeps its data in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let any_port = ["API", "ADMIN", "METRICS"].map(|section| (format!("AONODE_{section}__LISTEN"), "127.0.0.1:0".to_owned()));
        Self { folder: folder.into(), env: any_port.to_vec(), files_max: None, service: false, namespace: None }
            .config("log.format", "json")
    }

    /// Sets `section.key` of the configuration.
    ///
    /// # Panics
    /// The key has no section.
    #[must_use]
    pub fn config(self, key: &str, value: impl ToString) -> Self {
        let (section, name) = key.split_once('.').expect("a key is section.name");
        self.env(&format!("AONODE_{}__{}", section.to_uppercase(), name.to_uppercase()), value)
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_string()));
        self
    }

    /// Takes an environment variable away again.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        self
    }

    /// Bounds the process's open files (`ulimit -n`).
    #[must_use]
    pub fn files_max(mut self, files: u64) -> Self {
        self.files_max = Some(files);
        self
    }

    /// An operator's node (`start`) instead of a development one: its directory was made by `init`.
    #[must_use]
    pub fn service(mut self) -> Self {
        self.service = true;
        self
    }

    /// Runs it in a network namespace ([`crate::netns`]).
    #[must_use]
    pub fn within(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Its data directory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts it and waits for the ready line.
    ///
    /// # Errors
    /// It ended or said nothing; with the end of its log.
    pub async fn start(&self) -> Result<Node> {
        let mut life = self.launch()?;
        let out = life.out.clone();
        let ready = tokio::select! {
            ready = ready_line(&out) => ready,
            () = tokio::time::sleep(READY_WITHIN) => Err(anyhow!("no ready line within {READY_WITHIN:?}")),
        };
        match ready {
            Ok(ready) => Node::new(self.clone(), life, &ready),
            Err(error) => {
                let status = life.child.try_wait()?.map_or_else(|| "still running".to_owned(), |status| status.to_string());
                life.log.closed().await;
                bail!("aonode did not start ({status}): {error}: {}", life.log.tail(20))
            }
        }
    }

    /// Starts it where it is expected to refuse; gives its exit status and log.
    ///
    /// # Errors
    /// It is still running after the time a start may take, or became ready.
    pub async fn start_refused(&self) -> Result<(ExitStatus, String)> {
        let Life { mut child, log, out } = self.launch()?;
        tokio::select! {
            status = child.wait() => {
                let status = status?;
                log.closed().await;
                Ok((status, log.text()))
            }
            Ok(ready) = ready_line(&out) => bail!("aonode was expected to refuse to start but is ready: {ready}"),
            () = tokio::time::sleep(READY_WITHIN) => bail!("aonode neither started nor ended: {}", log.tail(20)),
        }
    }

    fn launch(&self) -> Result<Life> {
        let program = binary::aonode()?;
        let mut command = match &self.namespace {
            // It becomes the program: there is one process.
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
            None => Command::new(program),
        };
        let verb = if self.service { ["start", "--output", "json", "--datadir"] } else { ["dev", "--output", "json", "--persist"] };
        command.args(verb).arg(&self.folder);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        if let Some(files) = self.files_max {
            let limit = libc::rlimit { rlim_cur: files, rlim_max: files };
            // SAFETY: between fork and exec only the async-signal-safe setrlimit is called, on a value that was copied in.
            unsafe {
                command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_NOFILE, &limit) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                });
            }
        }
        let mut child = command.spawn().context("cannot start aonode")?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let log = Log::follow(child.stderr.take().context("stderr is piped")?);
        let out = Log::follow(stdout);
        Ok(Life { child, log, out })
    }
}

/// A process and what it says.
struct Life {
    child: Child,
    log: Log,
    out: Log,
}

/// The first line of a standard output that is a JSON object with a public address.
async fn ready_line(out: &Log) -> Result<Value> {
    let line = out.wait_for(|line| line.starts_with('{') && line.contains("http://")).await?;
    serde_json::from_str(&line).with_context(|| format!("the ready line is JSON: {line}"))
}

/// A running node.
pub struct Node {
    setup: Setup,
    life: Life,
    base: String,
    metrics: Option<String>,
    admin: Option<String>,
    ready: Value,
}

impl Node {
    fn new(setup: Setup, life: Life, ready: &Value) -> Result<Self> {
        let address = |name: &str| {
            let endpoints = ready.get("endpoints").unwrap_or(ready);
            endpoints.get(name).and_then(Value::as_str).map(|text| text.trim_end_matches('/').to_owned())
        };
        let base = address("api").or_else(|| address("url")).ok_or_else(|| anyhow!("the ready line names no public address: {ready}"))?;
        Ok(Self { setup, life, base, metrics: address("metrics"), admin: address("admin"), ready: ready.clone() })
    }

    /// Its public address, without a slash at the end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The address of its metrics listener.
    ///
    /// # Errors
    /// The ready line did not say.
    pub fn metrics(&self) -> Result<&str> {
        self.metrics.as_deref().ok_or_else(|| anyhow!("the ready line names no metrics listener: {}", self.ready))
    }

    /// The address of its admin listener.
    ///
    /// # Errors
    /// The ready line did not say.
    pub fn admin(&self) -> Result<&str> {
        self.admin.as_deref().ok_or_else(|| anyhow!("the ready line names no admin listener: {}", self.ready))
    }

    /// What it said when it was ready.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// How it was started.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Its data directory.
    pub fn folder(&self) -> &Path {
        &self.setup.folder
    }

    /// Everything it has logged in this life.
    pub fn log(&self) -> &Log {
        &self.life.log
    }

    /// Its process id.
    ///
    /// # Errors
    /// It has ended.
    pub fn pid(&self) -> Result<u32> {
        self.life.child.id().ok_or_else(|| anyhow!("aonode has ended: {}", self.life.log.tail(20)))
    }

    /// Resident memory, bytes.
    ///
    /// # Errors
    /// It has ended.
    pub fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a process has VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    }

    /// Open descriptors.
    ///
    /// # Errors
    /// It has ended.
    pub fn open_files(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.pid()?))?.count())
    }

    /// kill -9, and waits until it is gone.
    ///
    /// # Errors
    /// It had ended before.
    pub async fn kill(mut self) -> Result<Setup> {
        if let Some(status) = self.life.child.try_wait()? {
            bail!("aonode ended by itself ({status}) before it was killed: {}", self.life.log.tail(20));
        }
        self.life.child.kill().await?;
        Ok(self.setup)
    }

    /// Asks it to read its configuration again (SIGHUP).
    ///
    /// # Errors
    /// It has ended.
    pub fn hang_up(&self) -> Result<()> {
        self.signal(libc::SIGHUP)
    }

    /// Stops its clock (SIGSTOP).
    ///
    /// # Errors
    /// It has ended.
    pub fn pause(&self) -> Result<()> {
        self.signal(libc::SIGSTOP)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// It has ended.
    pub fn resume(&self) -> Result<()> {
        self.signal(libc::SIGCONT)
    }

    fn signal(&self, signal: libc::c_int) -> Result<()> {
        let pid = i32::try_from(self.pid()?)?;
        // SAFETY: a signal to a child that was not waited for yet, so the id is still its own.
        if unsafe { libc::kill(pid, signal) } != 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        Ok(())
    }

    /// Asks it to end (SIGTERM); gives its setup, its exit status and its log.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn stop(mut self) -> Result<(Setup, ExitStatus, String)> {
        self.signal(libc::SIGTERM)?;
        let status = tokio::time::timeout(STOPPED_WITHIN, self.life.child.wait())
            .await
            .map_err(|_| anyhow!("aonode did not end within {STOPPED_WITHIN:?}: {}", self.life.log.tail(20)))??;
        self.life.log.closed().await;
        Ok((self.setup, status, self.life.log.text()))
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It does not within `within`.
    pub async fn ended(mut self, within: Duration) -> Result<(Setup, ExitStatus, String)> {
        let status = tokio::time::timeout(within, self.life.child.wait())
            .await
            .map_err(|_| anyhow!("aonode was expected to end within {within:?}: {}", self.life.log.tail(20)))??;
        self.life.log.closed().await;
        Ok((self.setup, status, self.life.log.text()))
    }

    /// Fails unless it is still running.
    ///
    /// # Errors
    /// It has ended, with the end of its log.
    pub fn alive(&mut self) -> Result<()> {
        match self.life.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("aonode ended by itself ({status}): {}", self.life.log.tail(20)),
        }
    }
}

/// Lines of one output stream as they come.
#[derive(Clone, Debug)]
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    grown: watch::Receiver<usize>,
}

impl Log {
    /// Collects the lines of a stream until it ends.
    pub fn follow(stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (grow, grown) = watch::channel(0);
        let into = Arc::clone(&lines);
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream).lines();
            while let Ok(Some(line)) = stream.next_line().await {
                let count = {
                    let mut lines = into.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    lines.push(line);
                    lines.len()
                };
                if grow.send(count).is_err() {
                    return;
                }
            }
        });
        Self { lines, grown }
    }

    fn find(&self, from: usize, wanted: &impl Fn(&str) -> bool) -> Option<String> {
        let lines = self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        lines.iter().skip(from).find(|line| wanted(line)).cloned()
    }

    /// The first line that is wanted, now or when it comes.
    ///
    /// # Errors
    /// The stream ended without it.
    pub async fn wait_for(&self, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let mut grown = self.grown.clone();
        let mut looked = 0;
        loop {
            let count = *grown.borrow_and_update();
            if let Some(line) = self.find(looked, &wanted) {
                return Ok(line);
            }
            looked = count;
            if grown.changed().await.is_err() {
                return self.find(looked, &wanted).ok_or_else(|| anyhow!("the stream ended without the line: {}", self.tail(20)));
            }
        }
    }

    /// Waits until nothing more can come.
    pub(crate) async fn closed(&self) {
        let mut grown = self.grown.clone();
        let everything = async { while grown.changed().await.is_ok() {} };
        // a grandchild could hold the stream open: what it says is not the node's
        let _ = tokio::time::timeout(Duration::from_secs(1), everything).await;
    }

    /// All lines so far.
    pub fn text(&self) -> String {
        self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner).join("\n")
    }

    /// The newest lines.
    pub fn tail(&self, count: usize) -> String {
        let lines = self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}

/// How long something took, for a line of figures.
pub fn since(started: Instant) -> String {
    format!("{:.1} s", started.elapsed().as_secs_f64())
}
