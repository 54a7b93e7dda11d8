//! Times that were measured, and what is said of them.

use std::time::Duration;

use serde_json::{Value, json};

/// One kind of time, sorted.
pub struct Times(Vec<Duration>);

impl Times {
    /// Sorts them.
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }
    /// In milliseconds: the smallest value that `percent` of all do not exceed.
    pub fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }
    /// For programs; null where nothing was measured.
    pub fn record(&self) -> Value {
        if self.0.is_empty() {
            return Value::Null;
        }
        let [p50, p90, p95, p99, max] = [50, 90, 95, 99, 100].map(|percent| self.percentile(percent));
        json!({ "p50_ms": p50, "p90_ms": p90, "p95_ms": p95, "p99_ms": p99, "max_ms": max })
    }
    /// For people.
    pub fn human(&self) -> String {
        if self.0.is_empty() {
            return "none: this level was not announced by itself".to_owned();
        }
        let [p50, p95, p99, max] = [50, 95, 99, 100].map(|percent| self.percentile(percent));
        format!("p50 {p50:.2} ms   p95 {p95:.2} ms   p99 {p99:.2} ms   max {max:.2} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let times = Times::new((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!([50, 90, 99, 100].map(|percent| times.percentile(percent)), [100.0, 180.0, 198.0, 200.0]);
        assert_eq!(Times::new(vec![Duration::from_millis(7)]).percentile(1), 7.0);
    }

    #[test]
    fn what_was_not_measured_is_not_fast() {
        let none = Times::new(Vec::new());
        assert_eq!((none.record(), none.human().contains("ms")), (Value::Null, false));
    }
}
