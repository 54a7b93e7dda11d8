//! Waiting for something that will happen, with a deadline and a name for it.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Pause between two looks at something that cannot be subscribed to.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks again until `look` finds something.
///
/// # Errors
/// Nothing was found within `within`, or looking failed.
pub async fn until<T, F>(what: &str, within: Duration, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let started = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if started.elapsed() > within {
            bail!("within {within:?} there was never: {what}");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
