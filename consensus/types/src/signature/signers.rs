//! Prepared keys of RSA signers seen before.
//!
//! Preparing a key and hashing its owner into the item's digest is a fifth of the cost of a verification, and most items come from few
//! signers. The table has a fixed number of places and no eviction: a signer has one place, and a newcomer takes it over. Only keys
//! under which a signature held get in, so garbage cannot flush it. It changes how long an answer takes, never the answer.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::rsa_pss::PreparedKey;
use crate::data_item::{DataItem, ItemError};
use crate::deep_hash::Prefix;
use crate::limits::SIGNER_CACHE_ENTRIES;

struct Signer {
    key: PreparedKey,
    prefix: Prefix,
}

type Place = Mutex<Option<Arc<Signer>>>;

static TABLE: LazyLock<Box<[Place]>> = LazyLock::new(|| (0..SIGNER_CACHE_ENTRIES).map(|_| Mutex::new(None)).collect());

/// Verifies an item of type 1.
pub(super) fn verify(item: &DataItem) -> Result<(), ItemError> {
    let owner = item.owner();
    let place = &TABLE[place_of(owner)];
    let known = place.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(signer) = known.filter(|signer| signer.key.modulus() == owner) {
        return signer.key.verify(&item.digest_after(&signer.prefix), item.signature());
    }
    let signer = Signer { key: PreparedKey::new(owner)?, prefix: Prefix::new(item.signature_type().code(), owner) };
    signer.key.verify(&item.digest_after(&signer.prefix), item.signature())?;
    // Without optimisation every vector instruction is a call, and AWS-LC, which is C, is far faster.
    let key = if cfg!(debug_assertions) { signer.key } else { signer.key.accelerated() };
    let signer = Signer { key, ..signer };
    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(signer));
    Ok(())
}

/// From the modulus's low bytes, which are as good as random for honest keys; the lowest bit is always one.
fn place_of(owner: &[u8]) -> usize {
    let low = owner.last_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    (low >> 1) as usize & (SIGNER_CACHE_ENTRIES - 1)
}
