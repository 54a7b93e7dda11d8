//! How often one address may ask: token buckets, one per kind of request. Pure: the time is an argument.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;

use lru::LruCache;

use super::limits::{RATE_ADDRESSES_MAX, Rates};

/// What a request costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reads the store.
    Read,
    /// Changes something.
    Write,
    /// Runs a process without a trace.
    DryRun,
    /// Health checks: never limited.
    Free,
}

/// Buckets hold thousandths of a request, so that a rate per second is a rate per millisecond.
#[derive(Clone, Copy)]
struct Bucket {
    level: u64,
    at_ms: u64,
}

/// The buckets of all addresses.
pub struct Buckets {
    rates: Rates,
    addresses: LruCache<IpAddr, [Bucket; 3]>,
}

impl Buckets {
    /// All full.
    pub fn new(rates: Rates) -> Self {
        Self { rates, addresses: LruCache::new(NonZeroUsize::MIN.saturating_add(RATE_ADDRESSES_MAX - 1)) }
    }

    /// Other rates from now on; what is left in a bucket stays, up to what it may hold now.
    pub fn set(&mut self, rates: Rates) {
        self.rates = rates;
    }

    /// Takes one request of a kind from an address's bucket.
    ///
    /// # Errors
    /// The bucket is empty: seconds until it has one again, rounded up.
    pub fn take(&mut self, now_ms: u64, address: IpAddr, kind: Kind) -> Result<(), u32> {
        let (index, per_s) = match kind {
            Kind::Read => (0, self.rates.read_per_s),
            Kind::Write => (1, self.rates.write_per_s),
            Kind::DryRun => (2, self.rates.dry_run_per_s),
            Kind::Free => return Ok(()),
        };
        if per_s == 0 || self.rates.loopback_free && is_loopback(address) {
            return Ok(());
        }
        let per_s = u64::from(per_s);
        let full = per_s * u64::from(self.rates.burst_s.max(1)) * 1000;
        let unused = Bucket { level: u64::MAX, at_ms: now_ms };
        let buckets = self.addresses.get_or_insert_mut(network(address), || [unused; 3]);
        let bucket = &mut buckets[index];
        bucket.level = bucket.level.saturating_add(now_ms.saturating_sub(bucket.at_ms).saturating_mul(per_s)).min(full);
        bucket.at_ms = bucket.at_ms.max(now_ms);
        match bucket.level.checked_sub(1000) {
            Some(left) => {
                bucket.level = left;
                Ok(())
            }
            None => {
                let missing = 1000 - bucket.level;
                Err(u32::try_from(missing.div_ceil(per_s * 1000).max(1)).unwrap_or(u32::MAX))
            }
        }
    }
}

/// Whether an address is this machine's own.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Who counts as one: an IPv4 address, or a /64 of IPv6, which one customer has to himself.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATES: Rates = Rates { read_per_s: 50, write_per_s: 10, dry_run_per_s: 2, burst_s: 4, loopback_free: true };

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut buckets = Buckets::new(RATES);
        for _ in 0..40 {
            buckets.take(1_000, address(1), Kind::Write).unwrap();
        }
        assert_eq!(buckets.take(1_000, address(1), Kind::Write), Err(1));
        // Other kinds and other addresses have buckets of their own.
        buckets.take(1_000, address(1), Kind::Read).unwrap();
        buckets.take(1_000, address(2), Kind::Write).unwrap();
        // A tenth of a second refills one.
        assert_eq!(buckets.take(1_099, address(1), Kind::Write), Err(1));
        buckets.take(1_100, address(1), Kind::Write).unwrap();
        assert_eq!(buckets.take(1_100, address(1), Kind::Write), Err(1));
    }

    #[test]
    fn new_rates_count_from_now_on() {
        let mut buckets = Buckets::new(RATES);
        (0..40).for_each(|_| buckets.take(0, address(1), Kind::Write).unwrap());
        assert!(buckets.take(0, address(1), Kind::Write).is_err());
        buckets.set(Rates { write_per_s: 1000, ..RATES });
        assert_eq!((0..1000).filter(|_| buckets.take(100, address(1), Kind::Write).is_ok()).count(), 100, "a tenth of a second's");
        // What an address has not used yet is cut to the smaller burst.
        buckets.set(Rates { write_per_s: 1, burst_s: 1, ..RATES });
        assert_eq!((0..1000).filter(|_| buckets.take(100, address(2), Kind::Write).is_ok()).count(), 1);
        buckets.set(Rates { write_per_s: 0, ..RATES });
        assert_eq!((0..1000).filter(|_| buckets.take(100, address(2), Kind::Write).is_ok()).count(), 1000);
    }

    #[test]
    fn loopback_is_free_only_where_it_says_so() {
        let home = IpAddr::from([127, 0, 0, 1]);
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        let mut buckets = Buckets::new(RATES);
        for _ in 0..1000 {
            buckets.take(0, home, Kind::DryRun).unwrap();
            buckets.take(0, mapped, Kind::DryRun).unwrap();
        }
        let mut buckets = Buckets::new(Rates { loopback_free: false, ..RATES });
        assert_eq!((0..1000).filter(|_| buckets.take(0, home, Kind::DryRun).is_ok()).count(), 8);
    }

    #[test]
    fn one_ipv6_customer_is_one_address() {
        let mut buckets = Buckets::new(RATES);
        let of = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 7, 0, 0, 0, last]);
        assert_eq!((0..1000).filter(|last| buckets.take(0, of(*last), Kind::DryRun).is_ok()).count(), 8);
    }

    #[test]
    fn remembers_no_more_addresses_than_the_bound() {
        let mut buckets = Buckets::new(RATES);
        for n in 0..RATE_ADDRESSES_MAX as u32 + 500 {
            let _ = buckets.take(0, IpAddr::from((0x0b00_0000 + n).to_be_bytes()), Kind::Read);
        }
        assert_eq!(buckets.addresses.len(), RATE_ADDRESSES_MAX);
    }

    proptest! {
        /// Whatever the times, an address never gets more than its burst plus its rate.
        #[test]
        fn never_more_than_burst_and_rate(steps in prop::collection::vec(0_u64..500, 1..400)) {
            let mut buckets = Buckets::new(RATES);
            let (mut now, mut taken) = (0, 0_u64);
            for step in steps {
                now += step;
                taken += u64::from(buckets.take(now, address(1), Kind::Write).is_ok());
            }
            prop_assert!(taken <= 40 + now / 100 + 1);
        }
    }
}
