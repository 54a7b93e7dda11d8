//! Debian's Prometheus, watching nodes on loopback with the configuration that ships in `monitoring/`.
//!
//! Owns finding the two programs ([`program`], [`promtool`]) and the life of one server: its configuration is the shipped one, except
//! for the targets and how often it looks. Refuses to install anything: that is `.ci/prometheus`; where it could not, [`program`] finds
//! nothing and a test says so. The server ends with its [`Prometheus`].

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::node::Log;
use crate::{cache, wait};

/// A server that has not said its address for so long does not start.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A server that was asked to end has ended by then.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at a node. Tests wait for two looks where a rate is asked for.
const LOOK_EVERY: &str = "500ms";

/// Folder of the dashboard, the alerts and the configuration.
pub fn monitoring() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("monitoring")
}

/// `prometheus` or `promtool`, installed or unpacked by `.ci/prometheus`; none where neither is so.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let unpacked = cache::folder().ok().map(|cache| cache.join("prometheus/usr/bin"));
    std::env::split_paths(&path).chain(unpacked).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Runs `promtool` in the folder of the alerts with `input`; none where it is not there.
///
/// # Errors
/// It cannot be run. What it found is in the output.
pub fn promtool(arguments: &[&str], input: &str) -> Result<Option<Output>> {
    let Some(program) = program("promtool") else { return Ok(None) };
    let mut command = std::process::Command::new(program);
    command.args(arguments).current_dir(monitoring()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot run promtool")?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    let input = input.to_owned();
    // beside the reading, so that neither pipe can fill up; a program that does not want its input closes it
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| anyhow!("the writer panicked"))?;
    Ok(Some(output))
}

/// One series of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its labels, its name among them where the query keeps it.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// An alert rule as the server understood it.
#[derive(Clone, Debug, Deserialize)]
pub struct Rule {
    /// Name of the alert.
    pub name: String,
    /// Its expression.
    pub query: String,
    /// What it adds.
    pub labels: BTreeMap<String, String>,
    /// What it says.
    pub annotations: BTreeMap<String, String>,
    /// `inactive`, `pending`, `firing`; `unknown` before the first evaluation.
    pub state: String,
    /// `ok` once it was evaluated without error.
    pub health: String,
}

/// A running server.
pub struct Prometheus {
    child: Child,
    log: Log,
    base: String,
    http: reqwest::Client,
}

impl Prometheus {
    /// Starts `program` on a free port of loopback with its data in `folder`, watching `targets` (addresses of metrics listeners, with or
    /// without `http://`), and waits until it answers.
    ///
    /// # Errors
    /// It ended or does not answer; with the end of its log.
    pub async fn start(program: &Path, folder: &Path, targets: &[&str]) -> Result<Self> {
        configure(folder, targets)?;
        let mut command = Command::new(program);
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0"]);
        // beside the nodes it watches, on a machine that is busy already
        command.current_dir(folder).env("GOMAXPROCS", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("cannot start prometheus")?;
        let log = Log::follow(child.stderr.take().context("stderr is piped")?);
        let address = tokio::time::timeout(READY_WITHIN, listening(&log)).await;
        let address = address.map_err(|_| anyhow!("prometheus names no address within {READY_WITHIN:?}: {}", log.tail(20)))??;
        let http = reqwest::Client::builder().no_proxy().timeout(READY_WITHIN).build()?;
        let server = Self { child, log, base: format!("http://{address}"), http };
        wait::until("prometheus is ready", READY_WITHIN, || async {
            let ready = server.http.get(format!("{}/-/ready", server.base)).send().await?;
            Ok(ready.status().is_success().then_some(()))
        })
        .await
        .with_context(|| server.log.tail(20))?;
        Ok(server)
    }

    /// Its address, without a slash at the end.
    pub fn base(&self) -> &str {
        &self.base
    }

    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let address = reqwest::Url::parse_with_params(&format!("{}/api/v1/{path}", self.base), query)?;
        let answer = self.http.get(address).send().await?;
        let mut answer: Value = serde_json::from_slice(&answer.bytes().await?)?;
        ensure!(answer["status"] == "success", "prometheus refuses {path} {query:?}: {answer}");
        Ok(answer["data"].take())
    }

    /// The value of an expression now; empty where nothing has it.
    ///
    /// # Errors
    /// It is no expression, or its value is neither a vector nor a scalar.
    pub async fn query(&self, expression: &str) -> Result<Vec<Sample>> {
        let data = self.ask("query", &[("query", expression)]).await?;
        match data["resultType"].as_str() {
            Some("vector") => data["result"].as_array().context("a vector is an array")?.iter().map(sample).collect(),
            Some("scalar") => Ok(vec![Sample { labels: BTreeMap::new(), value: number(&data["result"])? }]),
            kind => bail!("{expression} has a value of kind {kind:?}"),
        }
    }

    /// Waits until an expression has a value.
    ///
    /// # Errors
    /// It has none within `within`, or as [`Prometheus::query`].
    pub async fn wait_for(&self, expression: &str, within: Duration) -> Result<Vec<Sample>> {
        let what = format!("a value of {expression}");
        wait::until(&what, within, || async { Ok(Some(self.query(expression).await?).filter(|found| !found.is_empty())) }).await
    }

    /// The alert rules it runs.
    ///
    /// # Errors
    /// No answer came, or a rule is no alert.
    pub async fn rules(&self) -> Result<Vec<Rule>> {
        let mut data = self.ask("rules", &[]).await?;
        let groups = data["groups"].as_array_mut().context("rules come in groups")?;
        groups.iter_mut().map(|group| serde_json::from_value::<Vec<Rule>>(group["rules"].take())).try_fold(Vec::new(), |mut all, rules| {
            all.extend(rules?);
            Ok(all)
        })
    }

    /// Ends it (SIGTERM) and waits until it is gone.
    ///
    /// # Errors
    /// It had ended before, or does not end in time.
    pub async fn stop(mut self) -> Result<()> {
        let id = self.child.id().ok_or_else(|| anyhow!("prometheus ended by itself: {}", self.log.tail(20)))?;
        // SAFETY: a signal to a child that was not waited for yet, so the id is still its own.
        if unsafe { libc::kill(i32::try_from(id)?, libc::SIGTERM) } != 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        let status = tokio::time::timeout(STOPPED_WITHIN, self.child.wait()).await;
        let status = status.map_err(|_| anyhow!("prometheus did not end within {STOPPED_WITHIN:?}: {}", self.log.tail(20)))??;
        self.log.closed().await;
        ensure!(status.success(), "prometheus ended with {status}: {}", self.log.tail(20));
        Ok(())
    }
}

/// The address in the line `msg="Listening on" address=127.0.0.1:43211`.
async fn listening(log: &Log) -> Result<String> {
    let line = log.wait_for(|line| line.contains("msg=\"Listening on\"")).await.context("prometheus does not start")?;
    let address = line.split_once(" address=").map(|(_, rest)| rest.split(' ').next().unwrap_or(rest).to_owned());
    address.with_context(|| format!("no address in {line}"))
}

/// The shipped configuration in `folder`, with other targets and looking more often.
fn configure(folder: &Path, targets: &[&str]) -> Result<()> {
    let shipped = std::fs::read_to_string(monitoring().join("prometheus.yml"))?;
    let mut often = shipped.clone();
    for name in ["scrape_interval: ", "evaluation_interval: "] {
        let (before, rest) = often.split_once(name).with_context(|| format!("the shipped configuration has no {name}"))?;
        let (_, after) = rest.split_once('\n').context("a line ends")?;
        often = format!("{before}{name}{LOOK_EVERY}\n{after}");
    }
    std::fs::write(folder.join("prometheus.yml"), often)?;
    std::fs::copy(monitoring().join("alerts.yml"), folder.join("alerts.yml"))?;
    let targets: Vec<_> = targets.iter().map(|target| target.trim_start_matches("http://").trim_end_matches('/')).collect();
    std::fs::write(folder.join("targets.json"), json!([{ "targets": targets }]).to_string())?;
    Ok(())
}

fn sample(series: &Value) -> Result<Sample> {
    let labels = serde_json::from_value(series["metric"].clone()).context("labels are text")?;
    Ok(Sample { labels, value: number(&series["value"])? })
}

/// `[seconds, "value"]`; Rust reads `NaN` and `+Inf` as Prometheus writes them.
fn number(pair: &Value) -> Result<f64> {
    let text = pair[1].as_str().with_context(|| format!("no value in {pair}"))?;
    text.parse().with_context(|| format!("no number: {text}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{configure, number, sample};

    #[test]
    fn values_are_read_as_they_are_written() {
        assert_eq!(number(&json!([1.5, "+Inf"])).unwrap(), f64::INFINITY);
        assert!(number(&json!([1.5, "NaN"])).unwrap().is_nan());
        assert!(number(&json!([1.5, "many"])).is_err());
        let read = sample(&json!({"metric": {"instance": "a"}, "value": [1.5, "0.25"]})).unwrap();
        assert_eq!((read.labels["instance"].as_str(), read.value), ("a", 0.25));
    }

    #[test]
    fn a_configuration_is_the_shipped_one_with_other_targets() {
        let folder = tempfile::tempdir().unwrap();
        configure(folder.path(), &["http://127.0.0.1:1/", "127.0.0.1:2"]).unwrap();
        let text = std::fs::read_to_string(folder.path().join("prometheus.yml")).unwrap();
        assert!(text.contains("scrape_interval: 500ms\n") && text.contains("evaluation_interval: 500ms\n"), "{text}");
        assert!(text.contains("job_name: aonode") && text.contains("targets.json"), "{text}");
        let targets = std::fs::read_to_string(folder.path().join("targets.json")).unwrap();
        assert_eq!(targets, r#"[{"targets":["127.0.0.1:1","127.0.0.1:2"]}]"#);
        assert!(folder.path().join("alerts.yml").is_file());
    }
}
