//! Every consensus engine of this build: what a genesis calls it, and what it is.

/// An engine as it is listed.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    /// As a genesis names it (`consensus.plugin`).
    pub name: &'static str,
    /// How it confirms, in a sentence or two.
    pub about: &'static str,
    /// Only for a network of one node.
    pub alone: bool,
    /// Its own numbers (`consensus.params`): name, default, meaning.
    pub params: &'static [(&'static str, &'static str, &'static str)],
}

/// Every engine of this build.
pub const ENGINES: &[Engine] = &[Engine {
    name: "solo",
    about: "Confirms every frame at once, because there is nobody else to ask. Durable, and as trustworthy as the one node that runs it.",
    alone: true,
    params: &[],
}];
