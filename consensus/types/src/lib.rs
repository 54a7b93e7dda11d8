//! The words of the network: everything that two nodes, or a node and a client, can say to each other.
//!
//! This is the ground floor. It knows no runtime, no disk, no socket and no sibling crate; it turns bytes into values whose types say
//! how far they were checked (`DataItem` is well formed, `Verified<DataItem>` is signed, an `Assignment` has a slot), and values back
//! into the very same bytes.
//!
//! Modules are declared in reading order.
#![deny(unsafe_op_in_unsafe_fn)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]

// Ids, hashes and canonical bytes.
pub mod base58;
pub mod codec;
pub mod hash;
pub mod id;
pub mod limits;

// Data items: what everything travels in.
pub mod bundle;
pub mod data_item;
pub mod deep_hash;
pub mod signature;
pub mod signer;
pub mod tag;
pub mod wallet;

// Arweave's own forms.
pub mod merkle;
pub mod receipt;
pub mod transaction;

// What AO says with them.
pub mod assignment;
pub mod checkpoint;
pub mod content_key;
pub mod cron;
pub mod hash_chain;
pub mod lawful;
pub mod message;
pub mod scheduler_location;

// Who confirms, and what they sign.
pub mod attestation;
pub mod chain;
pub mod committee;
pub mod genesis;

// What a machine is given and what it gives back.
pub mod evaluation;
pub mod invocation;
pub mod outbox;

pub use assignment::{Assignment, AssignmentContent};
pub use attestation::{Attestation, Certificate, Signers, Statement};
pub use chain::{BlockValue, Chain, FrameId, NetworkId};
pub use checkpoint::CheckpointRecord;
pub use codec::{Canonical, CodecError, Reader};
pub use committee::{BlsKey, BlsSignature, Committee, CommitteeError, Epoch, Member, PeerId, Stake};
pub use content_key::ContentKey;
pub use cron::{CronGroup, Interval};
pub use data_item::{DataItem, ItemError, Profile, Verified};
pub use evaluation::{Evaluation, Outgoing};
pub use genesis::{Genesis, GenesisError};
pub use hash_chain::HashChain;
pub use id::{Address, Id, ResultHash, Slot, StateHash};
pub use invocation::{DryRun, Environment, Invocation, Subject};
pub use lawful::{Lawful, Unlawful, lawful};
pub use message::{Kind, Message, Module, Process};
pub use signature::SignatureType;
pub use signer::{ItemBuilder, SignError, Signer};
pub use tag::{Tag, TagRef};
pub use wallet::Wallet;
