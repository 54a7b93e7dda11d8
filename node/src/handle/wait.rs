//! Waiting until a message has come far enough, never for ever: the store is read, and read again whenever the core says that something
//! happened to the process.

use std::time::Duration;

use ao_storage::schema;
use ao_types::{Id, Slot};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Node, stopping};
use crate::error::{Code, Rejection};
use crate::levels::{self, Goal, Standing};
use crate::limits::RESULT_TRIES_MAX;
use crate::shell::modules::store_failed;

/// How far a message came while somebody waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Where it is.
    pub standing: Standing,
    /// Why it will not come further now, where that is known.
    pub why: Option<Rejection>,
}

impl Node {
    /// Waits until a slot is as far as `goal` at this node, `patience` at most, and says how far it is then. The slot need not be known
    /// here yet: its frame may be on its way.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn reach(&self, process: Id, slot: Slot, goal: Goal, patience: Duration) -> Result<Reached, Rejection> {
        let deadline = Instant::now() + patience;
        let mut tries = 0;
        loop {
            let standing = self.standing(process, slot)?;
            if standing.meets(goal) {
                return Ok(Reached { standing, why: None });
            }
            let waiting = match self.waiting(process, slot, goal) {
                Ok(waiting) => waiting,
                Err(why) => return Ok(Reached { standing, why: Some(why) }),
            };
            // It may have come before the place was taken.
            let standing = self.standing(process, slot)?;
            if standing.meets(goal) {
                return Ok(Reached { standing, why: None });
            }
            match tokio::time::timeout_at(deadline, waiting).await {
                Ok(Ok(Ok(()))) => {}
                // This host could not evaluate it just now; it tries again by itself.
                Ok(Ok(Err(why))) if why.retry_after_s.is_some() && tries < RESULT_TRIES_MAX => tries += 1,
                Ok(Ok(Err(why))) => return Ok(Reached { standing: self.standing(process, slot)?, why: Some(why) }),
                Ok(Err(_)) => return Ok(Reached { standing, why: Some(stopping()) }),
                Err(_) => return Ok(Reached { standing: self.standing(process, slot)?, why: None }),
            }
        }
    }

    fn standing(&self, process: Id, slot: Slot) -> Result<Standing, Rejection> {
        levels::standing(self.store(), process, slot).map_err(|error| store_failed(&error))
    }

    fn waiting(&self, process: Id, slot: Slot, goal: Goal) -> Result<oneshot::Receiver<Result<(), Rejection>>, Rejection> {
        match goal {
            Goal::Level(level) => self.shared.levels.of(level).wait(process, slot),
            Goal::Computed => {
                let head = schema::EVALUATION_HEADS.get(self.store(), &process).map_err(|error| store_failed(&error))?;
                if let Some(reason) = head.and_then(|head| head.halted) {
                    return Err(Rejection::new(Code::NotEvaluated, format!("evaluation of {process} stopped: {reason}")));
                }
                self.shared.results.wait(process, slot)
            }
        }
    }
}
