//! What several nodes do together: a token that is scheduled by one node and used through others, processes of two schedulers that talk
//! to each other, and a node that goes away and comes back. Who is killed when is the caller's part.

use std::time::Instant;

use ao_types::{Id, Wallet};

use super::{Demo, PING, PONG, ROUNDS, Seat, said, wallets};
use crate::cli::exit::{Exit, Failure};

const TOKEN: &str = include_str!("token.lua");
/// What there is of the token.
const MINTED: u64 = 1_000;

/// A token whose log every node has.
#[derive(Clone, Debug)]
pub struct Token {
    process: Id,
    recipient: String,
    passed_on: u64,
}

impl Token {
    /// Lua for what the recipient has.
    fn balance(&self) -> String {
        format!("Balances['{}']", self.recipient)
    }
}

impl Demo<'_> {
    /// The token of the first node, spawned through the second, used through every node and read from every other one.
    ///
    /// # Errors
    /// A node could not be asked.
    pub async fn token(&mut self) -> Result<Token, Failure> {
        use ao_types::Signer as _;
        let bug = |error: wallets::Error| Failure::new(Exit::Bug, error.to_string());
        let recipient = wallets::wallets(wallets::NETWORK).map_err(bug)?.pop().map(|wallet: Wallet| wallet.address().to_string());
        let module = self.seats[0].module.clone();
        let process = self.spawn("token (Lua)", &module, TOKEN, (1 % self.seats.len(), 0)).await?;
        let mut token = Token { process, recipient: recipient.unwrap_or_default(), passed_on: 0 };
        self.send(0, process, "Mint", &[("Quantity", &MINTED.to_string())]).await?;
        for through in 0..self.seats.len() {
            self.transfer(&mut token, through, (through + 1) % self.seats.len()).await?;
        }
        Ok(token)
    }

    /// Passes ten on through one node, and reads the balance from another.
    async fn transfer(&mut self, token: &mut Token, through: usize, read: usize) -> Result<(), Failure> {
        let began = Instant::now();
        let result = self.send(through, token.process, "Transfer", &[("Quantity", "10"), ("Recipient", &token.recipient)]).await?;
        token.passed_on += 10;
        let expected = token.passed_on.to_string();
        let found = if said(&result).starts_with("10 to ") {
            self.until(read, token.process, &token.balance(), &expected).await?
        } else {
            said(&result)
        };
        let what = format!("transfer through {}, balance read from {}", self.seats[through].name, self.seats[read].name);
        self.step(what, began, found, expected)
    }

    /// Processes of two schedulers send messages to each other.
    ///
    /// # Errors
    /// A node could not be asked.
    pub async fn between_schedulers(&mut self) -> Result<(), Failure> {
        let [one, two, reader] = [1, 2, 3].map(|at| at % self.seats.len());
        let module = self.seats[0].module.clone();
        let ping = self.spawn("ping (Lua)", &module, PING, (one, one)).await?;
        let pong = self.spawn("pong (Lua)", &module, PONG, (two, two)).await?;
        let began = Instant::now();
        let (peer, rounds) = (pong.to_string(), ROUNDS.to_string());
        self.send(one, ping, "Start", &[("Peer", &peer), ("Rounds", &rounds)]).await?;
        let pongs = self.until(reader, ping, "Pongs", &rounds).await?;
        let pings = self.until(reader, pong, "Pings", &rounds).await?;
        let name = |at: usize| &self.seats[at].name;
        let what = format!("ping of {} and pong of {} talk, read from {}", name(one), name(two), name(reader));
        self.step(what, began, format!("{pings} pings, {pongs} pongs"), format!("{ROUNDS} pings, {ROUNDS} pongs"))
    }

    /// The others go on while one node is away.
    ///
    /// # Errors
    /// A node that should be there could not be asked.
    pub async fn without(&mut self, token: &mut Token, away: usize) -> Result<(), Failure> {
        let rest: Vec<_> = (0..self.seats.len()).filter(|at| *at != away).collect();
        for (place, through) in rest.iter().enumerate() {
            self.transfer(token, *through, rest[(place + 1) % rest.len()]).await?;
        }
        Ok(())
    }

    /// The node that was away has everything that happened meanwhile, and takes messages again.
    ///
    /// # Errors
    /// It could not be asked.
    pub async fn back(&mut self, token: &mut Token, back: usize) -> Result<(), Failure> {
        let began = Instant::now();
        let expected = token.passed_on.to_string();
        let found = self.until(back, token.process, &token.balance(), &expected).await?;
        self.step(format!("{} is back, balance read from it", self.seats[back].name), began, found, expected)?;
        self.transfer(token, back, 0).await?;
        let began = Instant::now();
        let mut states = Vec::new();
        for seat in &self.seats {
            states.push(state(seat, token.process).await?);
        }
        let same = states.windows(2).all(|pair| pair[0] == pair[1]);
        let shown = if same { "the same" } else { "different" };
        self.step(format!("log and memory of the token at all {} nodes", self.seats.len()), began, shown, "the same")
    }
}

/// The link of a process's last slot, and its whole memory.
async fn state(seat: &Seat, process: Id) -> Result<(String, Vec<u8>), Failure> {
    let shown = seat.client.get(&format!("v1/processes/{process}")).await?;
    let link = shown["head"]["hash_chain"].as_str().unwrap_or_default().to_owned();
    Ok((link, seat.client.get_bytes(&format!("state/{process}")).await?))
}
