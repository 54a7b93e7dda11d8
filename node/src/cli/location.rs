//! The scheduler's word on where it is reached, for clients that look for it on the gateway (`protocol.md`, section 3.5) and for the other
//! nodes of its network.
//!
//! The newest word counts, so a start says nothing new if that is what was said last. An address that nobody else could use, such as
//! `0.0.0.0`, is published all the same: `api.public_url` says what to publish instead.

use ao_types::scheduler_location::SchedulerLocation;
use ao_types::{Address, ItemBuilder, Signer as _, Wallet};
use bytes::Bytes;

use crate::error::Rejection;
use crate::handle::Node;
use crate::shell::hosts;

/// How long a resolver may keep it, milliseconds.
const TIME_TO_LIVE_MS: u64 = 10 * 60 * 1000;

/// Publishes `url` as the scheduler's, unless it is what was published last, and tells the peers.
pub async fn publish(node: &Node, scheduler: &Wallet, url: &str) {
    let authority = node.identity().messenger;
    let said = match last(node, scheduler, url, authority) {
        Some(item) => Ok(item),
        None => match word(scheduler, url, authority, node.tip().1) {
            Ok(item) => node.store_item(item.clone()).await.map(|_| item).map_err(|refusal: Rejection| refusal.message),
            Err(error) => Err(error),
        },
    };
    match said {
        Ok(item) => node.announce(item),
        Err(error) => {
            tracing::warn!(event = "location_not_published", %url, %error, "clients that look for the scheduler on this gateway do not find it");
        }
    }
}

/// What was published last, if it says the same. A store that cannot answer has said nothing: publishing then tells what is wrong with it.
fn last(node: &Node, scheduler: &Wallet, url: &str, authority: Address) -> Option<Bytes> {
    let item = hosts::last_item(node.store(), &scheduler.address())?;
    let location = SchedulerLocation::read(&item).ok()?;
    (location.url == url && location.authority == Some(authority)).then(|| item.into_bytes())
}

/// The signed item. The time in its anchor makes it another one than an earlier word of the same content.
fn word(scheduler: &Wallet, url: &str, authority: Address, now_ms: u64) -> Result<Bytes, String> {
    let builder = ItemBuilder::new().anchor(hosts::anchor(now_ms)).tags(SchedulerLocation::tags(url, TIME_TO_LIVE_MS, &authority));
    let item = builder.sign(scheduler).map_err(|error| error.to_string())?;
    Ok(item.into_inner().into_bytes())
}

#[cfg(test)]
mod tests {
    use ao_types::{DataItem, Profile};

    use super::*;

    #[test]
    fn a_word_can_be_read_and_is_another_each_time() {
        let wallet = Wallet::ed25519_from_seed(&[7; 32]);
        let authority = Wallet::ed25519_from_seed(&[8; 32]).address();
        let read = |bytes| SchedulerLocation::read(&DataItem::parse(bytes, Profile::Strict).unwrap().verify().unwrap()).unwrap();
        let word = |at| word(&wallet, "http://a:1", authority, at).unwrap();
        assert_ne!(word(1), word(2));
        let said = read(word(1));
        assert_eq!((said.url.as_str(), said.time_to_live_ms, said.scheduler), ("http://a:1", TIME_TO_LIVE_MS, wallet.address()));
        assert_eq!(said.authority, Some(authority));
    }
}
