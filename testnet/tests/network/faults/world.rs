//! Four nodes under load, and what must hold when the fault is over: one log, one result for each slot, nothing lost that was acknowledged,
//! nobody accused.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ao_testnet::client::Client;
use ao_testnet::items::{Item, Person};
use ao_testnet::network::{Network, Plan, agree};
use ao_testnet::wait;
use ao_types::Id;
use tokio::task::JoinHandle;

/// Debug builds of four nodes on a machine that is busy; none of this waits longer than it must.
pub const WITHIN: Duration = Duration::from_secs(180);

/// A client that hears nothing for so long asks for something else.
const PATIENCE: Duration = Duration::from_secs(5);

/// Messages of one client in a second, at most: enough that every fault meets some, few enough for four debug builds on two cores.
const PER_SECOND: u32 = 10;

const COUNTER: &str = "Total = Total or 0; Handlers.add('add', Handlers.utils.hasMatchingTag('Action', 'Add'), \
                       function(message) Total = Total + 1; print(Total) end)";

/// What was acknowledged: (place of the process, item).
type Acknowledged = Arc<Mutex<Vec<(usize, Id)>>>;

pub struct World {
    pub network: Network,
    pub clients: Vec<Client>,
    pub owner: Person,
    /// One of each node's scheduler.
    pub processes: Vec<Id>,
    acknowledged: Acknowledged,
    number: Arc<AtomicUsize>,
}

impl World {
    /// Four nodes with a process each.
    pub async fn new(engine: &str) -> Self {
        let network = Plan::new(engine, 4).start().await.unwrap();
        let clients = network.clients().unwrap();
        Self::of(network, clients).await
    }

    /// A network that runs, and clients that reach its nodes.
    pub async fn of(network: Network, clients: Vec<Client>) -> Self {
        let owner = Person::named("owner");
        let mut processes = Vec::new();
        for (at, client) in clients.iter().enumerate() {
            // A node that has just begun to attest reads its store once more, and says so to whoever comes meanwhile.
            let spawned = || async { Ok(client.spawn(&owner, None, &[("On-Boot", "Data")], COUNTER).await.ok()) };
            let process = wait::until("a process is taken", WITHIN, spawned).await;
            processes.push(process.unwrap_or_else(|error| panic!("n{}: {error:#}\n{}", at + 1, network.tails(10))));
        }
        let world = Self { network, clients, owner, processes, acknowledged: Arc::default(), number: Arc::default() };
        world.settled(&[0, 1, 2, 3]).await;
        world
    }

    /// Sends one message for the process of node `of` through node `through`; whether it was acknowledged.
    pub async fn send(&self, of: usize, through: usize) -> bool {
        send(&self.sender(through), of).await
    }

    /// A message that was never sent.
    pub fn another(&self, of: usize) -> Item {
        let number = self.number.fetch_add(1, Ordering::Relaxed).to_string();
        self.owner.message(self.processes[of], &[("Action", "Add"), ("Number", &number)], "")
    }

    fn sender(&self, through: usize) -> Sender {
        Sender {
            client: self.clients[through].clone(),
            owner: self.owner.clone(),
            processes: self.processes.clone(),
            acknowledged: self.acknowledged.clone(),
            number: self.number.clone(),
        }
    }

    /// Clients at these nodes write to every process, until the load is dropped.
    pub fn load(&self, through: &[usize]) -> Load {
        self.load_on(through, (0..self.processes.len()).collect())
    }

    /// Clients at these nodes write to the processes of those nodes.
    pub fn load_on(&self, through: &[usize], of: Vec<usize>) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = through.iter().map(|at| {
            let (sender, stop, of) = (self.sender(*at), stop.clone(), of.clone());
            tokio::spawn(async move {
                let mut turns = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
                turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                for of in of.into_iter().cycle() {
                    turns.tick().await;
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    send(&sender, of).await;
                }
            })
        });
        Load { tasks: clients.collect(), stop }
    }

    /// How much was acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits until so much more is acknowledged.
    pub async fn more(&self, count: usize) {
        let enough = self.acknowledged() + count;
        let found = wait::until("messages are acknowledged", WITHIN, || async { Ok((self.acknowledged() >= enough).then_some(())) }).await;
        found.unwrap_or_else(|error| panic!("{error:#}\n{}", self.network.tails(10)));
    }

    /// Waits until these nodes have the same, all of it confirmed and evaluated.
    pub async fn settled(&self, nodes: &[usize]) {
        let clients: Vec<_> = nodes.iter().map(|at| self.clients[*at].clone()).collect();
        for process in &self.processes {
            let settled = agree::settled(&clients, *process, 0, WITHIN).await;
            settled.unwrap_or_else(|error| panic!("{error:#}\n{}", self.network.tails(15)));
        }
    }

    /// What must hold when the fault is over and nobody sends any more.
    pub async fn check(&mut self, what: &str) {
        let all: Vec<usize> = (0..self.clients.len()).collect();
        self.settled(&all).await;
        let acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut slots = 0;
        for (of, process) in self.processes.iter().enumerate() {
            let sent: Vec<Id> = acknowledged.iter().filter(|(at, _)| *at == of).map(|(_, item)| *item).collect();
            slots += agree::check(&self.clients, *process, &sent).await.unwrap();
        }
        for (at, client) in self.clients.iter().enumerate() {
            let shown = client.get("/v1/evidence").await.unwrap();
            assert!(shown.status.is_success(), "{}", shown.text());
            let none = shown.json.as_object().and_then(|page| page.values().find_map(|rows| rows.as_array())).is_some_and(Vec::is_empty);
            assert!(none, "n{}: honest nodes accuse nobody: {}", at + 1, shown.text());
        }
        let tails = self.network.tails(usize::MAX);
        for word in ["panicked", "state_divergence", "slashing protection:"] {
            assert!(!tails.contains(word), "{what}: a log says `{word}`:\n{}", self.network.tails(40));
        }
        self.network.alive().unwrap();
        println!("{what}: {slots} slots equal at {} nodes, {} acknowledged and all there", self.clients.len(), acknowledged.len());
    }
}

/// What a client needs to send.
#[derive(Clone)]
struct Sender {
    client: Client,
    owner: Person,
    processes: Vec<Id>,
    acknowledged: Acknowledged,
    number: Arc<AtomicUsize>,
}

async fn send(sender: &Sender, of: usize) -> bool {
    let number = sender.number.fetch_add(1, Ordering::Relaxed).to_string();
    let item = sender.owner.message(sender.processes[of], &[("Action", "Add"), ("Number", &number)], "");
    let answer = tokio::time::timeout(PATIENCE, sender.client.post("/v1/messages", &item)).await;
    let taken = answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status.is_success()));
    if taken {
        sender.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push((of, item.id));
    }
    taken
}

/// Ends with [`Load::end`].
pub struct Load {
    tasks: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// The clients send nothing more, and have heard all answers.
    pub async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}
