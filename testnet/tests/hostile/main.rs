//! Nodes of a network among those who keep to no rule: a peer that sends rubbish, a second signer with a node's key, histories that are not
//! what they were. All on real processes; `AONODE_FULL=1` makes the floods as long as the acceptance wants them.

mod attacker;
mod connections;
mod floods;
mod injector;
mod keys;
mod safety;
mod world;
