//! Four nodes, both engines: any node takes and answers, a killed one is not missed and catches up.

use std::time::Duration;

use ao_testnet::client::Client;
use ao_testnet::items::Person;
use ao_testnet::network::{Network, Plan, agree};
use ao_types::Id;

/// Four nodes of debug builds on a machine that is busy building are slow; none of this waits longer than it must.
pub const SETTLED_WITHIN: Duration = Duration::from_secs(120);
const COUNTER: &str = "Total = Total or 0; Handlers.add('add', Handlers.utils.hasMatchingTag('Action', 'Add'), \
                       function(message) Total = Total + 1; print(Total) end)";

/// Four nodes, and a process of each.
pub struct World {
    pub network: Network,
    pub clients: Vec<Client>,
    pub owner: Person,
    /// A process of each node's scheduler.
    pub processes: Vec<Id>,
    /// What was acknowledged, by process.
    sent: Vec<Vec<Id>>,
    number: usize,
}

impl World {
    pub async fn new(engine: &str) -> Self {
        let network = Plan::new(engine, 4).start().await.unwrap();
        let clients = network.clients().unwrap();
        let owner = Person::named("owner");
        let mut processes = Vec::new();
        for client in &clients {
            processes.push(client.spawn(&owner, None, &[("On-Boot", "Data")], COUNTER).await.unwrap());
        }
        let world = Self { network, clients, owner, sent: vec![Vec::new(); processes.len()], processes, number: 0 };
        world.settle(&[0, 1, 2, 3]).await;
        world
    }

    /// A message for the process of node `of`, through node `through`; its result as that node tells it.
    pub async fn add(&mut self, of: usize, through: usize) -> serde_json::Value {
        self.number += 1;
        let item = self.owner.message(self.processes[of], &[("Action", "Add"), ("Number", &self.number.to_string())], "");
        let result = self.clients[through].call(self.processes[of], &item).await.unwrap();
        self.sent[of].push(item.id);
        result
    }

    /// Waits until these nodes agree on everything, and checks it.
    pub async fn settle(&self, nodes: &[usize]) {
        self.settle_processes(nodes, &[0, 1, 2, 3]).await;
    }

    /// The same for the processes of some.
    pub async fn settle_processes(&self, nodes: &[usize], of: &[usize]) {
        let clients: Vec<_> = nodes.iter().map(|at| self.clients[*at].clone()).collect();
        for (process, sent) in of.iter().map(|at| (self.processes[*at], &self.sent[*at])) {
            let settled = agree::settled(&clients, process, sent.len() as u64, SETTLED_WITHIN).await;
            settled.unwrap_or_else(|error| panic!("{error:#}\n{}", self.network.tails(10)));
            agree::check(&clients, process, sent).await.unwrap();
        }
    }
}

async fn one_is_killed_and_comes_back(engine: &str) {
    let mut world = World::new(engine).await;
    for of in 0..4 {
        for through in 0..4 {
            let result = world.add(of, through).await;
            assert_eq!(ao_testnet::client::output(&result).unwrap(), (through + 1).to_string(), "{engine}: n{of} through n{through}");
        }
    }
    world.settle(&[0, 1, 2, 3]).await;

    world.network.kill(3).await.unwrap();
    for round in 0..5 {
        for of in 0..3 {
            let result = world.add(of, (of + round) % 3).await;
            assert_eq!(ao_testnet::client::output(&result).unwrap(), (5 + round).to_string(), "{engine}: three of four go on");
        }
    }
    // Whose scheduler is away, is told so, and that it may try again: 503 if it cannot be reached, 504 if nobody noticed so far.
    let item = world.owner.message(world.processes[3], &[("Action", "Add"), ("Number", "away")], "");
    let answer = world.clients[0].post("/v1/messages", &item).await.unwrap();
    assert!([503, 504].contains(&answer.status.as_u16()), "{}", answer.text());
    assert!(answer.json["error"]["retry_after_s"].is_u64(), "{}", answer.text());

    world.network.start(3).await.unwrap();
    world.settle(&[0, 1, 2, 3]).await;
    let result = world.add(3, 0).await;
    assert_eq!(ao_testnet::client::output(&result).unwrap(), "5", "{engine}: it schedules again");
    world.settle(&[0, 1, 2, 3]).await;
    world.network.stop_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn attestors_go_on_without_one_that_comes_back() {
    one_is_killed_and_comes_back("attest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_go_on_without_one_that_comes_back() {
    one_is_killed_and_comes_back("bft").await;
}
