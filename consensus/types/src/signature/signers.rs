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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::data_item::Profile;

    static ITEM: &[u8] = include_bytes!("../../benches/item-1kib.bin");

    fn parse(bytes: &[u8]) -> DataItem {
        DataItem::parse(Bytes::copy_from_slice(bytes), Profile::Strict).unwrap()
    }

    #[test]
    fn a_known_signer_is_checked_like_a_new_one() {
        let item = parse(ITEM);
        let known = || TABLE[place_of(item.owner())].lock().unwrap().as_ref().is_some_and(|one| one.key.modulus() == item.owner());
        let tampered = |at: usize| {
            let mut bytes = ITEM.to_vec();
            bytes[at] ^= 1;
            parse(&bytes)
        };
        let (data, signature) = (ITEM.len() - 1, 100);
        assert_eq!(verify(&tampered(data)), Err(ItemError::Signature));
        assert!(!known(), "a signature that does not hold puts nobody into the table");
        for _ in 0..2 {
            assert_eq!(verify(&item), Ok(()));
            assert!(known());
            assert_eq!(verify(&tampered(data)), Err(ItemError::Signature));
            assert_eq!(verify(&tampered(signature)), Err(ItemError::Signature));
        }
        // Another owner with the same low bytes has the same place, and is not taken for this one.
        let neighbour = tampered(2 + 512 + 100);
        assert_eq!(place_of(neighbour.owner()), place_of(item.owner()));
        assert_eq!(verify(&neighbour), Err(ItemError::Signature));
        assert!(known());
    }
}
