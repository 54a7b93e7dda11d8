//! What may be spent, and what was.

/// Bounds on spending, winston.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// In one day (UTC).
    pub day_max: u128,
    /// What must be left in the wallet.
    pub floor: u128,
}

/// What was signed away on one day. Transactions that were never mined count as well: the cap is on what could be spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Days since 1970.
    pub day: u64,
    /// Winston.
    pub winston: u128,
}

const DAY_MS: u64 = 86_400_000;

impl Spent {
    /// The same at `now_ms`: a new day begins with nothing. A clock that goes back does not forget.
    pub fn at(self, now_ms: u64) -> Self {
        let day = now_ms / DAY_MS;
        if day > self.day { Self { day, winston: 0 } } else { self }
    }

    /// After signing away so much more.
    pub fn plus(self, winston: u128) -> Self {
        Self { winston: self.winston.saturating_add(winston), ..self }
    }

    /// When the next day begins.
    pub fn ends_ms(self) -> u64 {
        self.day.saturating_add(1).saturating_mul(DAY_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_and_a_clock_that_goes_back_does_not_forget() {
        let spent = Spent::default().at(5 * DAY_MS + 7).plus(10).plus(u128::MAX);
        assert_eq!(spent, Spent { day: 5, winston: u128::MAX });
        assert_eq!((spent.at(4 * DAY_MS), spent.at(6 * DAY_MS - 1)), (spent, spent));
        assert_eq!((spent.at(6 * DAY_MS), spent.ends_ms()), (Spent { day: 6, winston: 0 }, 6 * DAY_MS));
    }
}
