//! Somebody with nothing to do with an attack, who keeps asking while it goes on.

use std::time::{Duration, Instant};

use anyhow::Result;
use ao_testnet::client::Client;
use ao_testnet::items::Person;
use ao_types::Id;
use tokio::sync::oneshot;

/// Between two questions.
const EVERY: Duration = Duration::from_millis(20);

/// Asks a node until told to stop.
pub struct Bystander {
    stop: oneshot::Sender<()>,
    asking: tokio::task::JoinHandle<Result<Answers>>,
}

/// How long answers took.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    reads: Vec<Duration>,
    evaluations: Vec<Duration>,
}

impl Bystander {
    /// Starts asking: a read, and a message with its result in a process of its own.
    pub async fn start(base: &str) -> Result<Self> {
        let client = Client::new(base)?;
        let owner = Person::named("bystander");
        let process = client.spawn(&owner, None, &[], " ").await?;
        client.eval(&owner, process, "Count = 0").await?;
        let (stop, stopped) = oneshot::channel();
        let asking = tokio::spawn(ask(client, owner, process, stopped));
        Ok(Self { stop, asking })
    }

    /// Stops; gives how long answers took.
    pub async fn stop(self) -> Result<Answers> {
        let _ = self.stop.send(());
        self.asking.await?
    }
}

async fn ask(client: Client, owner: Person, process: Id, mut stopped: oneshot::Receiver<()>) -> Result<Answers> {
    let mut answers = Answers::default();
    for count in 1.. {
        let started = Instant::now();
        anyhow::ensure!(client.get("/timestamp").await?.status.is_success(), "a read was refused");
        answers.reads.push(started.elapsed());
        let started = Instant::now();
        let found = client.eval(&owner, process, "Count = Count + 1 return Count").await?;
        answers.evaluations.push(started.elapsed());
        anyhow::ensure!(found == count.to_string(), "the bystander's count is {found}, expected {count}");
        tokio::select! {
            _ = &mut stopped => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    Ok(answers)
}

impl Answers {
    /// The longest answer of all.
    pub fn worst(&self) -> Duration {
        self.reads.iter().chain(&self.evaluations).max().copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, times) in [("reads", &self.reads), ("evaluations", &self.evaluations)] {
            let mut times = times.clone();
            times.sort();
            let at = |part: usize| {
                times.get((times.len() * part / 100).min(times.len().saturating_sub(1))).map_or(0.0, |time| time.as_secs_f64() * 1e3)
            };
            write!(f, "{} {name} p50 {:.1} p99 {:.1} worst {:.1} ms; ", times.len(), at(50), at(99), at(100))?;
        }
        Ok(())
    }
}
