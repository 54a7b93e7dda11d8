//! Keys of several parts: in tables, rows follow on each other by their parts in the order given here.

use ao_types::{Address, Id, Slot};
use serde::{Deserialize, Serialize};

use crate::typed::Key;

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type),* }

        impl Key for $name {
            fn write(&self, out: &mut Vec<u8>) {
                $(self.$field.write(out);)*
            }
            fn read(input: &mut &[u8]) -> Option<Self> {
                Some(Self { $($field: Key::read(input)?),* })
            }
        }
    )*};
}

keys! {
    /// A point in a process's fold, 44 bytes.
    EvaluationKey {
        /// The process.
        process: Id,
        /// Slot of the message, or of the one that the cron messages follow.
        slot: Slot,
        /// 0: the scheduled message; from 1: the cron messages after it, in order.
        cron: u32,
    }

    /// An entry of a result's outbox, 53 bytes.
    OutboxKey {
        /// The process that sends.
        process: Id,
        /// Slot of the message whose result it is.
        slot: Slot,
        /// 0, or ordinal of the cron message.
        cron: u32,
        /// Which list of the result.
        kind: OutboxKind,
        /// Place in that list.
        index: u32,
        /// For entries that lead to several items (an assignment to several processes): which of them. Else 0.
        part: u32,
    }

    /// A place in a scheduler's chain of frames (`consensus.md` §3), 49 bytes.
    FrameKey {
        /// The scheduler.
        scheduler: Address,
        /// Its tenure.
        tenure: u64,
        /// Sequence within the tenure.
        sequence: u64,
    }
}

/// Which list of a result an outbox entry is from. On disk one byte, in the order of declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OutboxKind {
    /// `Messages`.
    Message,
    /// `Spawns`.
    Spawn,
    /// The message that tells the parent of a spawn; `index` is that of the spawn.
    Spawned,
    /// `Assignments`; `part` is the place in `Processes`.
    Assignment,
    /// Tag `Assignments` on entry `index` of `Messages`; `part` is the place in its list.
    MessageAssignment,
}

impl OutboxKind {
    const ALL: [Self; 5] = [Self::Message, Self::Spawn, Self::Spawned, Self::Assignment, Self::MessageAssignment];
}

impl Key for OutboxKind {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }
    fn read(input: &mut &[u8]) -> Option<Self> {
        Self::ALL.get(usize::from(u8::read(input)?)).copied()
    }
}
