//! The scheduler's word on where it is reached, for clients that look for it on the gateway (`protocol.md`, section 3.5).
//!
//! The newest word counts, so a start says nothing if that is what was said last. An address that nobody else could use, such as
//! `0.0.0.0`, is published all the same: `api.public_url` says what to publish instead.

use ao_storage::{Direction, Store, schema};
use ao_types::scheduler_location::SchedulerLocation;
use ao_types::{DataItem, ItemBuilder, Profile, Signer, Wallet};

use crate::error::Rejection;
use crate::handle::Node;

/// How long a resolver may keep it, milliseconds.
const TIME_TO_LIVE_MS: u64 = 10 * 60 * 1000;
/// Newest items of the scheduler's wallet among which the last word is looked for.
const LOOKED_AT: usize = 64;

/// Publishes `url` as the scheduler's, unless it is what was published last.
pub async fn publish(node: &Node, scheduler: &Wallet, url: &str) {
    if last(node.store(), scheduler).is_some_and(|said| said == url) {
        return;
    }
    let said = match word(scheduler, url, node.tip().1) {
        Ok(item) => node.store_item(item).await.map(drop).map_err(|refusal: Rejection| refusal.message),
        Err(error) => Err(error),
    };
    if let Err(error) = said {
        tracing::warn!(event = "location_not_published", %url, %error, "clients that look for the scheduler on this gateway do not find it");
    }
}

/// What was published last. A store that cannot answer has said nothing: publishing then tells what is wrong with it.
fn last(store: &dyn Store, scheduler: &Wallet) -> Option<String> {
    let rows = schema::OWNER_INDEX.prefix(store, &scheduler.address(), Direction::Backward, LOOKED_AT).ok()?;
    rows.into_iter().find_map(|(_, id)| {
        let bytes = schema::ITEMS.get(store, &id).ok()??;
        let item = DataItem::parse(bytes, Profile::Archive).ok()?;
        SchedulerLocation::read(&item).ok().map(|location| location.url)
    })
}

/// The signed item. The time in its anchor makes it another one than an earlier word of the same content.
fn word(scheduler: &Wallet, url: &str, now_ms: u64) -> Result<bytes::Bytes, String> {
    let mut anchor = [0; 32];
    anchor.copy_from_slice(format!("{now_ms:032}").as_bytes());
    let builder = ItemBuilder::new().anchor(anchor).tags(SchedulerLocation::tags(url, TIME_TO_LIVE_MS));
    let item = builder.sign(scheduler).map_err(|error| error.to_string())?;
    Ok(item.into_inner().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_can_be_read_and_is_another_each_time() {
        let wallet = Wallet::ed25519_from_seed(&[7; 32]);
        let read = |bytes| SchedulerLocation::read(&DataItem::parse(bytes, Profile::Strict).unwrap().verify().unwrap()).unwrap();
        let (one, two) = (word(&wallet, "http://a:1", 1).unwrap(), word(&wallet, "http://a:1", 2).unwrap());
        assert_ne!(one, two);
        let said = read(one);
        assert_eq!((said.url.as_str(), said.time_to_live_ms, said.scheduler), ("http://a:1", TIME_TO_LIVE_MS, wallet.address()));
    }
}
