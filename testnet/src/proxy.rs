//! A link between nodes that is slow, loses, doubles and disorders: a proxy for UDP in front of a node's p2p port.
//!
//! ```text
//!   other nodes ──▶ the address that the genesis names ──(late, lost, twice)──▶ the port on which the node really listens
//!               ◀───────────────────────────────────────(late, lost, twice)───
//! ```
//!
//! Owns its sockets and what is under way, and ends with the [`Link`]. Refuses to look into a packet, and to keep more of them than
//! [`UNDER_WAY_MAX`]: what comes beyond that is lost, as on any link.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::random::Random;

/// Packets of one link that are on their way at once.
pub const UNDER_WAY_MAX: usize = 4_096;

/// Others that one link has sockets for.
pub const SOURCES_MAX: usize = 256;

/// Bytes of the largest UDP packet.
const PACKET_BYTES_MAX: usize = 65_535;

/// What a link does to a packet, in either direction.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// How long it takes, milliseconds: from the one to the other. Packets overtake one another.
    pub delay_ms: (u64, u64),
    /// Of a hundred, how many are lost.
    pub loss: u64,
    /// And how many come twice.
    pub twice: u64,
}

/// What a link has done.
#[derive(Debug, Default)]
struct Counts {
    carried: AtomicU64,
    lost: AtomicU64,
}

/// Everything that the tasks of a link share.
#[derive(Debug)]
struct Way {
    weather: Weather,
    dice: Mutex<Random>,
    under_way: Arc<Semaphore>,
    counts: Counts,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Link {
    way: Arc<Way>,
    // Dropped with the link, and ends its tasks.
    _tasks: JoinSet<()>,
}

impl Link {
    /// Listens at `from` and carries to `to`.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn lay(from: SocketAddr, to: SocketAddr, weather: Weather, seed: u64) -> Result<Self> {
        let outside = Arc::new(UdpSocket::bind(from).await.with_context(|| format!("a link at {from}"))?);
        let under_way = Arc::new(Semaphore::new(UNDER_WAY_MAX));
        let way = Arc::new(Way { weather, dice: Mutex::new(Random::new(seed)), under_way, counts: Counts::default() });
        let mut tasks = JoinSet::new();
        tasks.spawn(carry(outside, to, Arc::clone(&way)));
        Ok(Self { way, _tasks: tasks })
    }

    /// Packets that arrived at the other end, and those that did not.
    pub fn carried_and_lost(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.way.counts.carried), of(&self.way.counts.lost))
    }
}

/// What others send to the node; each of them has a socket of its own behind the link, so that answers find their way back.
async fn carry(outside: Arc<UdpSocket>, to: SocketAddr, way: Arc<Way>) {
    let (mut inside, mut answers) = (HashMap::<SocketAddr, Arc<UdpSocket>>::new(), JoinSet::new());
    let mut packet = vec![0; PACKET_BYTES_MAX];
    loop {
        // An error of a UDP socket is about an earlier packet: somebody was not there.
        let Ok((length, source)) = outside.recv_from(&mut packet).await else { continue };
        if !inside.contains_key(&source) && inside.len() < SOURCES_MAX {
            let Ok(socket) = UdpSocket::bind((to.ip(), 0)).await else { continue };
            let socket = Arc::new(socket);
            inside.insert(source, Arc::clone(&socket));
            answers.spawn(back(socket, Arc::clone(&outside), source, Arc::clone(&way)));
        }
        if let Some(socket) = inside.get(&source) {
            way.send(socket, to, &packet[..length]);
        }
    }
}

/// What the node answers one of them.
async fn back(inside: Arc<UdpSocket>, outside: Arc<UdpSocket>, source: SocketAddr, way: Arc<Way>) {
    let mut packet = vec![0; PACKET_BYTES_MAX];
    loop {
        if let Ok((length, _)) = inside.recv_from(&mut packet).await {
            way.send(&outside, source, &packet[..length]);
        }
    }
}

impl Way {
    /// Delays of the copies that arrive; none: it is lost.
    fn draw(&self) -> Vec<Duration> {
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let Weather { delay_ms: (from, to), loss, twice } = self.weather;
        if dice.below(100) < loss {
            return Vec::new();
        }
        let copies = 1 + usize::from(dice.below(100) < twice);
        (0..copies).map(|_| Duration::from_millis(from + dice.below(to.saturating_sub(from) + 1))).collect()
    }

    fn send(self: &Arc<Self>, socket: &Arc<UdpSocket>, to: SocketAddr, packet: &[u8]) {
        let delays = self.draw();
        if delays.is_empty() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
        for delay in delays {
            let Ok(place) = Arc::clone(&self.under_way).try_acquire_owned() else {
                self.counts.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let (way, socket, packet) = (Arc::clone(self), Arc::clone(socket), packet.to_vec());
            tokio::spawn(async move {
                // The delay is what this link is for.
                tokio::time::sleep(delay).await;
                if socket.send_to(&packet, to).await.is_ok() {
                    way.counts.carried.fetch_add(1, Ordering::Relaxed);
                }
                drop(place);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "127.0.0.1:0";

    /// A link to a socket, and what a client of it needs.
    async fn laid(weather: Weather) -> (Link, UdpSocket, UdpSocket, SocketAddr) {
        let far = UdpSocket::bind(HERE).await.unwrap();
        let free = UdpSocket::bind(HERE).await.unwrap().local_addr().unwrap();
        let link = Link::lay(free, far.local_addr().unwrap(), weather, 7).await.unwrap();
        (link, far, UdpSocket::bind(HERE).await.unwrap(), free)
    }

    #[tokio::test]
    async fn packets_go_there_and_back_late_and_twice() {
        let (link, far, near, at) = laid(Weather { delay_ms: (5, 20), loss: 0, twice: 100 }).await;
        near.send_to(b"there", at).await.unwrap();
        let mut packet = [0; 16];
        for _ in 0..2 {
            let (length, through) = far.recv_from(&mut packet).await.unwrap();
            assert_eq!(&packet[..length], b"there");
            far.send_to(b"back", through).await.unwrap();
        }
        let (length, from) = near.recv_from(&mut packet).await.unwrap();
        assert_eq!((&packet[..length], from), (&b"back"[..], at));
        assert_eq!(link.carried_and_lost().1, 0);
    }

    #[tokio::test]
    async fn what_is_lost_is_counted_and_what_is_too_much_is_lost() {
        let (link, _far, near, at) = laid(Weather { delay_ms: (0, 0), loss: 100, twice: 0 }).await;
        near.send_to(b"gone", at).await.unwrap();
        crate::wait::until("it is lost", Duration::from_secs(60), || async { Ok((link.carried_and_lost() == (0, 1)).then_some(())) })
            .await
            .unwrap();
        // Nothing arrives within an hour: the places of what is under way fill up.
        let (link, ..) = laid(Weather { delay_ms: (3_600_000, 3_600_000), loss: 0, twice: 0 }).await;
        let socket = Arc::new(UdpSocket::bind(HERE).await.unwrap());
        (0..UNDER_WAY_MAX + 3).for_each(|_| link.way.send(&socket, at, b"waits"));
        assert_eq!(link.carried_and_lost(), (0, 3));
    }
}
