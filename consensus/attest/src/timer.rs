//! Waiting longer each time.

use ao_consensus::Timestamp;

use crate::limits::RETRY_MS_MAX;

/// Something that is done again until it is no longer needed, after waits that double up to [`RETRY_MS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Again {
    /// When next.
    pub due: Timestamp,
    /// How often it was done again.
    pub tries: u32,
    wait_ms: u64,
}

impl Again {
    /// First `wait_ms` from now.
    pub fn after(now: Timestamp, wait_ms: u64) -> Self {
        let wait_ms = wait_ms.clamp(1, RETRY_MS_MAX);
        Self { due: now.plus_ms(wait_ms), tries: 0, wait_ms }
    }

    /// If it is due: true, and the next wait begins.
    pub fn fires(&mut self, now: Timestamp) -> bool {
        if self.due > now {
            return false;
        }
        self.wait_ms = self.wait_ms.saturating_mul(2).min(RETRY_MS_MAX);
        self.due = now.plus_ms(self.wait_ms);
        self.tries = self.tries.saturating_add(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound() {
        let mut again = Again::after(Timestamp(0), 40);
        let mut at = Vec::new();
        for now in 0..20_000 {
            if again.fires(Timestamp(now)) {
                at.push(now);
            }
        }
        assert_eq!(at[..6], [40, 120, 280, 600, 1_240, 2_520]);
        assert!(at[6..].windows(2).all(|pair| pair[1] - pair[0] == RETRY_MS_MAX));
        assert_eq!(Again::after(Timestamp(5), 0).due, Timestamp(6), "never without a wait");
    }
}
