//! Four nodes with a process that counts: whoever is attacked, it goes on counting.

use std::time::{Duration, Instant};

use ao_testnet::client::{Client, output};
use ao_testnet::items::Person;
use ao_testnet::network::{Network, Plan};
use ao_types::Id;

pub struct World {
    pub network: Network,
    pub clients: Vec<Client>,
    pub owner: Person,
    /// Scheduled by the second node; the first one is attacked.
    pub process: Id,
    pub count: u64,
}

impl World {
    pub async fn new(engine: &str) -> Self {
        let network = Plan::new(engine, 4).start().await.unwrap();
        let clients = network.clients().unwrap();
        let owner = Person::named("owner");
        let process = clients[1].spawn(&owner, None, &[], "Count = 0").await.unwrap();
        clients[1].eval(&owner, process, "Count = 0").await.unwrap();
        Self { network, clients, owner, process, count: 0 }
    }

    /// A message through another node than the one that is attacked; how long its result took, which waits for confirmation.
    pub async fn step(&mut self) -> Duration {
        self.count += 1;
        let began = Instant::now();
        let item =
            self.owner.message(self.process, &[("Action", "Eval"), ("N", &self.count.to_string())], "Count = Count + 1 return Count");
        let result = self.clients[1].call(self.process, &item).await.unwrap();
        assert_eq!(output(&result).unwrap(), self.count.to_string());
        began.elapsed()
    }

    /// Bytes of memory of the attacked node.
    pub fn resident(&self) -> u64 {
        self.network.node(0).unwrap().resident().unwrap()
    }

    /// Bans that the attacked node has pronounced.
    pub async fn bans(&self) -> u64 {
        let metrics = Client::new(self.network.node(0).unwrap().metrics().unwrap()).unwrap().text("/metrics").await.unwrap();
        let counts = metrics.lines().filter(|line| line.starts_with("aonode_p2p_bans_total{"));
        counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    }
}
