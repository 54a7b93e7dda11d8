//! Nodes in network namespaces of their own, so that the wire between them can be cut for real. Needs root and `ip`.
//!
//! ```text
//!   namespace of node n ── wire (10.77.G.n) ── bridge: the wire of one side of a partition; a node changes sides
//!                       └─ desk (10.78.G.n) ── bridge: the test's own way to a node's HTTP, never cut
//! ```
//!
//! Owns the namespaces, links and bridges, all named after this process and removed with [`Wires`]. Refuses to say what must hold.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A shaper through which nothing passes: no packet fits its bucket.
const NOTHING: [&str; 8] = ["root", "tbf", "rate", "8bit", "burst", "1", "limit", "1"];

/// The most nodes: one digit of a link's name.
const NODES_MAX: usize = 9;

/// See the module documentation.
#[derive(Debug)]
pub struct Wires {
    /// Begins every name: links have at most 15 characters.
    name: String,
    /// Third octet of the addresses: so that two tests' networks are different ones.
    group: u8,
    nodes: usize,
}

impl Wires {
    /// Namespaces for so many nodes, all on one wire; or the reason why there can be none here.
    ///
    /// # Errors
    /// The system refuses half-way.
    pub fn lay(nodes: usize) -> Result<Result<Self, String>> {
        ensure!(nodes <= NODES_MAX, "{nodes} nodes");
        // SAFETY: it reads a number.
        if unsafe { libc::geteuid() } != 0 {
            return Ok(Err("network namespaces need root".to_owned()));
        }
        let wires = Self { name: format!("ao{:x}", std::process::id() & 0xf_ffff), group: (std::process::id() % 250) as u8 + 1, nodes };
        if let Err(error) = ip(&["netns", "add", &wires.namespace(0)]) {
            return Ok(Err(format!("no network namespaces here: {error:#}")));
        }
        wires.connect()?;
        Ok(Ok(wires))
    }

    fn connect(&self) -> Result<()> {
        for side in ["a", "b", "d"] {
            let bridge = format!("{}{side}", self.name);
            ip(&["link", "add", &bridge, "type", "bridge"])?;
            ip(&["link", "set", &bridge, "up"])?;
        }
        ip(&["addr", "add", &format!("10.78.{}.100/24", self.group), "dev", &format!("{}d", self.name)])?;
        for at in 0..self.nodes {
            let namespace = self.namespace(at);
            if at > 0 {
                ip(&["netns", "add", &namespace])?;
            }
            ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
            for (kind, bridge, address) in [("wire", "a", self.wire(at)), ("desk", "d", self.desk(at))] {
                let outside = format!("{}{}{at}", self.name, &kind[..1]);
                ip(&["link", "add", &outside, "type", "veth", "peer", "name", kind, "netns", &namespace])?;
                ip(&["link", "set", &outside, "master", &format!("{}{bridge}", self.name), "up"])?;
                ip(&["-n", &namespace, "addr", "add", &format!("{address}/24"), "dev", kind])?;
                ip(&["-n", &namespace, "link", "set", kind, "up"])?;
            }
        }
        Ok(())
    }

    /// The namespace of a node.
    pub fn namespace(&self, at: usize) -> String {
        format!("{}n{at}", self.name)
    }

    /// Where other nodes reach a node.
    pub fn wire(&self, at: usize) -> String {
        format!("10.77.{}.{}", self.group, at + 1)
    }

    /// Where the test reaches a node.
    pub fn desk(&self, at: usize) -> String {
        format!("10.78.{}.{}", self.group, at + 1)
    }

    /// These nodes are on a wire of their own; all others on the first one.
    ///
    /// # Errors
    /// The system refuses.
    pub fn part(&self, apart: &[usize]) -> Result<()> {
        for at in 0..self.nodes {
            let side = if apart.contains(&at) { "b" } else { "a" };
            ip(&["link", "set", &format!("{}w{at}", self.name), "master", &format!("{}{side}", self.name)])?;
        }
        Ok(())
    }

    /// A node's wire carries no more than this in each direction: `1mbit`. Packets queue for a while, and are lost beyond that.
    ///
    /// # Errors
    /// The system refuses.
    pub fn narrow(&self, at: usize, rate: &str) -> Result<()> {
        let (namespace, outside) = (self.namespace(at), format!("{}w{at}", self.name));
        let shape = ["root", "tbf", "rate", rate, "burst", "16kb", "latency", "300ms"];
        run("tc", &[&["-n", &namespace, "qdisc", "replace", "dev", "wire"], &shape[..]].concat())?;
        run("tc", &[&["qdisc", "replace", "dev", &outside], &shape[..]].concat())
    }

    /// Nothing that a node says reaches anybody; it hears everybody.
    ///
    /// # Errors
    /// The system refuses.
    pub fn mute(&self, at: usize) -> Result<()> {
        run("tc", &[&["-n", &self.namespace(at), "qdisc", "replace", "dev", "wire"], &NOTHING[..]].concat())
    }

    /// Nothing that others say reaches a node; everybody hears it.
    ///
    /// # Errors
    /// The system refuses.
    pub fn deafen(&self, at: usize) -> Result<()> {
        run("tc", &[&["qdisc", "replace", "dev", &format!("{}w{at}", self.name)], &NOTHING[..]].concat())
    }

    /// A node's wire is as it was laid.
    ///
    /// # Errors
    /// The system refuses.
    pub fn widen(&self, at: usize) -> Result<()> {
        let (namespace, outside) = (self.namespace(at), format!("{}w{at}", self.name));
        // What was never shaped cannot be unshaped.
        run("tc", &["-n", &namespace, "qdisc", "del", "dev", "wire", "root"]).ok();
        run("tc", &["qdisc", "del", "dev", &outside, "root"]).ok();
        Ok(())
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        // What was never made cannot be removed, and links end with their namespaces.
        for at in 0..self.nodes {
            ip(&["netns", "del", &self.namespace(at)]).ok();
        }
        for side in ["a", "b", "d"] {
            ip(&["link", "del", &format!("{}{side}", self.name)]).ok();
        }
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let done = Command::new(program).args(arguments).output().with_context(|| format!("cannot run `{program}`"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{program} {}: {}", arguments.join(" "), said.trim());
    Ok(())
}
