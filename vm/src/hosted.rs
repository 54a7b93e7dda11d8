//! One process in memory, whatever its format: evaluate, dry-run, hash, checkpoint.
//!
//! Owns when state is committed and how it goes back. Refuses to know how a module is called ([`Abi`]).
//!
//! **Batched commits.** What callers see is a commit after every message. What happens is one commit after several: on a failure the
//! memory goes back to the last commit and the messages since are evaluated again, which gives the same state because evaluation is
//! deterministic. A batch is bounded in messages and in fuel, and after a failure starts again at one message, doubling with each commit:
//! whoever sends failing messages at best makes everything be evaluated twice.
//!
//! **After a trap** the instance is built anew on the same memory; globals are put back from the record made at rest.

use std::sync::Arc;

use ao_types::{Invocation, StateHash};
use wasmtime::{Trap, Val};

use crate::formats::{Abi, Answer};
use crate::guest::{Guest, Halt};
use crate::limits::*;
use crate::memory::{Held, Memory};
use crate::program::Program;
use crate::{Checkpoint, Error, Evaluated, Instance, checkpoint};

/// What a process may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Fuel of a message: the node's metering, for every format.
    pub(crate) fuel: u64,
    /// Gas of a message: the process's `Compute-Limit`, for modules that count gas.
    pub(crate) gas: u64,
    /// Bytes its memory can grow to.
    pub(crate) memory: usize,
}

/// A process's instance.
pub(crate) struct Hosted {
    program: Arc<Program>,
    abi: Box<dyn Abi>,
    bounds: Bounds,
    memory: Held,
    guest: Option<Guest>,
    /// Mutable globals at rest.
    rest: Vec<Val>,
    /// The part of memory that is dead between messages.
    pub(crate) dead: std::ops::Range<usize>,
    /// Messages evaluated since the last commit, with the fuel each took.
    pending: Vec<(Arc<Invocation>, u64)>,
    pending_fuel: u64,
    /// Messages until the next commit.
    window: usize,
    window_max: usize,
    /// Root of the last checkpoint made or restored: what a delta refers to.
    last_checkpoint: Option<StateHash>,
}

/// A call that came to an end that every host sees alike.
struct Ran {
    answer: Answer,
    fuel: u64,
}

impl Hosted {
    /// Boots a process, or restores it from a full checkpoint and the deltas after it.
    pub(crate) fn start(
        program: Arc<Program>,
        abi: Box<dyn Abi>,
        bounds: Bounds,
        batch: usize,
        chain: &[Checkpoint],
    ) -> Result<Self, Error> {
        let memory = Memory::new(bounds.memory).map_err(|error| Error::NotEvaluated(format!("no memory: {error}")))?;
        let mut hosted = Self {
            program,
            abi,
            bounds,
            memory: Held::Mapped(memory),
            guest: None,
            rest: Vec::new(),
            dead: 0..0,
            pending: Vec::new(),
            pending_fuel: 0,
            window: 1,
            window_max: batch.clamp(1, BATCH_MESSAGES_MAX),
            last_checkpoint: None,
        };
        hosted.on_stack(Self::boot)?;
        if !chain.is_empty() {
            hosted.guest = None;
            checkpoint::restore(hosted.memory.mapped().map_err(local)?, hosted.program.identity(), chain)?;
            hosted.last_checkpoint = chain.last().map(|last| last.root);
        }
        hosted.window = hosted.window_max;
        Ok(hosted)
    }

    /// A memory as another compute unit left it, as a full checkpoint of the process that was booted here, and SHA-256 of all of it.
    pub(crate) fn adopt(&self, gzip: &[u8]) -> Result<(Checkpoint, [u8; 32]), Error> {
        checkpoint::import(self.program.identity(), gzip, self.bounds.memory, &self.dead)
    }

    fn boot(&mut self) -> Result<(), Error> {
        let clock = &self.program.clock;
        let mut guest =
            Guest::new(clock, &self.program.module, self.memory.mapped().map_err(local)?, FUEL_BOOT_MAX).map_err(Error::NotEvaluated)?;
        guest.reset(clock, &[], FUEL_BOOT_MAX, self.bounds.gas).map_err(Error::NotEvaluated)?;
        let abi = &mut self.abi;
        let booted = clock.guarded(|| abi.attach(&mut guest).and_then(|()| abi.boot(&mut guest)));
        if let Err(error) = booted {
            let text = outcome(&mut guest, &error)?;
            return Err(self.program.refusal(format!("it does not start: {text}")).into());
        }
        self.rest = guest.globals();
        self.dead = abi.dead();
        self.guest = Some(guest);
        self.settle()?;
        self.commit()
    }

    /// Runs on a stack that is large enough. Everything that executes guest code goes through here.
    fn on_stack<T: Send>(&mut self, body: impl FnOnce(&mut Self) -> Result<T, Error> + Send) -> Result<T, Error> {
        crate::stack::with_enough(move || body(self)).map_err(Error::NotEvaluated)?
    }

    /// An instance at rest on the memory as it is.
    fn ready(&mut self) -> Result<(), Error> {
        if self.guest.as_ref().is_some_and(|guest| guest.single_use) {
            self.commit()?;
            self.guest = None;
        }
        let clock = &self.program.clock;
        if self.guest.is_none() {
            debug_assert!(self.pending.is_empty(), "a rebuilt instance starts from the committed image");
            let mut guest = Guest::new(clock, &self.program.module, self.memory.mapped().map_err(local)?, FUEL_BOOT_MAX)
                .map_err(Error::NotEvaluated)?;
            self.abi.attach(&mut guest).map_err(|error| Error::NotEvaluated(format!("{error:#}")))?;
            // Instantiation wrote the module's data over the process's: drop that.
            self.memory.mapped().and_then(Memory::roll_back).map_err(local)?;
            self.guest = Some(guest);
        }
        if let Some(guest) = &mut self.guest {
            guest.reset(clock, &self.rest, self.bounds.fuel, self.bounds.gas).map_err(Error::NotEvaluated)?;
        }
        Ok(())
    }

    /// Calls the guest once. After `Err` nothing about the memory is known.
    fn call(&mut self, message: &Invocation) -> Result<Ran, Error> {
        self.ready()?;
        let Some(guest) = &mut self.guest else { return Err(Error::NotEvaluated("no instance".into())) };
        let abi = &mut self.abi;
        let returned = self.program.clock.guarded(|| abi.call(guest, message));
        let fuel = self.bounds.fuel.saturating_sub(guest.fuel());
        let gas_used = guest.gas().map_or(self.bounds.gas, |left| self.bounds.gas - left);
        if !guest.store.data().log.is_empty() {
            tracing::debug!(text = %String::from_utf8_lossy(&guest.store.data().log), "guest log");
        }
        let mut answer = match returned {
            Ok(answer) => answer.within_bounds(),
            Err(error) => {
                let text = outcome(guest, &error)?;
                self.guest = None;
                Answer::failed(text)
            }
        };
        answer.evaluation.gas_used = gas_used;
        Ok(Ran { answer, fuel })
    }

    /// Zeroes what is dead between messages.
    fn settle(&mut self) -> Result<(), Error> {
        self.memory.mapped().and_then(|memory| memory.wipe(&self.dead)).map_err(local)
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.memory.mapped().and_then(Memory::commit).map_err(local)?;
        self.pending.clear();
        self.pending_fuel = 0;
        Ok(())
    }

    /// Takes the last message into the state, sooner or later.
    fn keep(&mut self, message: &Arc<Invocation>, fuel: u64) -> Result<(), Error> {
        self.settle()?;
        self.pending.push((message.clone(), fuel));
        self.pending_fuel = self.pending_fuel.saturating_add(fuel);
        if self.pending.len() >= self.window || self.pending_fuel >= BATCH_FUEL_MAX {
            self.commit()?;
            self.window = (self.window * 2).min(self.window_max);
        }
        Ok(())
    }

    /// Goes back to the state before the last message.
    fn undo(&mut self) -> Result<(), Error> {
        if self.memory.mapped().and_then(Memory::roll_back).map_err(local)? {
            self.guest = None;
        }
        self.window = 1;
        let again = std::mem::take(&mut self.pending);
        self.pending_fuel = 0;
        for (message, fuel) in &again {
            let ran = self.call(message)?;
            if !ran.answer.keep || ran.fuel != *fuel {
                return Err(Error::NotEvaluated(format!("a replayed message took {} fuel after {fuel}", ran.fuel)));
            }
            self.settle()?;
        }
        if again.is_empty() { Ok(()) } else { self.commit() }
    }

    fn evaluate_here(&mut self, message: &Arc<Invocation>) -> Result<Evaluated, Error> {
        let Ran { answer, fuel } = self.call(message)?;
        if answer.keep {
            self.keep(message, fuel)?;
        } else {
            self.undo()?;
        }
        Ok(Evaluated { evaluation: answer.evaluation, fuel })
    }

    fn dry_run_here(&mut self, message: &Arc<Invocation>) -> Result<Evaluated, Error> {
        if !self.pending.is_empty() {
            self.commit()?;
        }
        let Ran { answer, fuel } = self.call(message)?;
        if self.memory.mapped().and_then(Memory::roll_back).map_err(local)? {
            self.guest = None;
        }
        Ok(Evaluated { evaluation: answer.evaluation, fuel })
    }
}

/// The text of an ending that is part of the process's history, or the error that keeps it out of it.
fn outcome(guest: &mut Guest, error: &wasmtime::Error) -> Result<String, Error> {
    if guest.too_deep() {
        return Ok("call stack exhausted".into());
    }
    if guest.gas().is_none() {
        return Ok("out of gas!".into());
    }
    match error.downcast_ref::<Halt>() {
        Some(Halt::Local(text)) => return Err(Error::NotEvaluated(text.clone())),
        Some(halt) => return Ok(halt.to_string()),
        None => {}
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Ok("out of fuel: the evaluation exceeds the node's limit".into()),
        // The native stack and the clock differ from host to host: the counter and the fuel are there to end things first.
        Some(Trap::StackOverflow | Trap::Interrupt | Trap::AllocationTooLarge) | None => Err(Error::NotEvaluated(format!("{error:#}"))),
        Some(trap) => Ok(trap.to_string()),
    }
}

fn local(error: std::io::Error) -> Error {
    Error::NotEvaluated(format!("memory: {error}"))
}

impl Instance for Hosted {
    fn evaluate(&mut self, message: &Arc<Invocation>) -> Result<Evaluated, Error> {
        self.on_stack(|this| this.evaluate_here(message))
    }

    fn dry_run(&mut self, message: &Arc<Invocation>) -> Result<Evaluated, Error> {
        self.on_stack(|this| this.dry_run_here(message))
    }

    fn state_hash(&mut self) -> Result<StateHash, Error> {
        self.commit()?;
        Ok(checkpoint::root(self.memory.mapped().map_err(local)?, self.program.identity()))
    }

    fn checkpoint(&mut self, delta: bool) -> Result<Checkpoint, Error> {
        self.commit()?;
        let parent = self.last_checkpoint.filter(|_| delta);
        let made = checkpoint::make(self.memory.mapped().map_err(local)?, self.program.identity(), parent)?;
        self.last_checkpoint = Some(made.root);
        Ok(made)
    }

    fn memory(&mut self) -> Result<Vec<u8>, Error> {
        self.commit()?;
        let memory = self.memory.mapped().map_err(local)?;
        Ok(memory.committed(0, memory.committed_len()).to_vec())
    }

    fn idle(&mut self) -> Result<(), Error> {
        if matches!(self.memory, Held::Packed(_)) {
            return Ok(());
        }
        self.commit()?;
        // The instance goes with the mappings it runs on; the next message brings both back.
        self.guest = None;
        self.memory.pack().map_err(local)
    }

    fn resident_bytes(&self) -> u64 {
        self.memory.resident_bytes() + if self.guest.is_some() { INSTANCE_BYTES } else { INSTANCE_RESTING_BYTES }
    }
}
