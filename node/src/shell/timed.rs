//! A scheme whose checks are timed and whose sums are counted: for metrics and nothing else.

use std::sync::Arc;
use std::time::Instant;

use ao_consensus::scheme::{Claim, Keys, Scheme, SchemeError};
use ao_types::{BlsKey, BlsSignature};

use crate::metrics::Metrics;
use crate::metrics::labels::Checked;

/// See the module documentation.
pub struct Timed {
    scheme: Arc<dyn Scheme>,
    metrics: Metrics,
}

impl Timed {
    /// The same scheme.
    pub fn new(scheme: Arc<dyn Scheme>, metrics: Metrics) -> Self {
        Self { scheme, metrics }
    }

    fn check(&self, kind: Checked, check: impl FnOnce(&dyn Scheme) -> bool) -> bool {
        let began = Instant::now();
        let holds = check(&*self.scheme);
        self.metrics.bls_verify_seconds.of(kind).observe(began.elapsed().as_secs_f64());
        holds
    }
}

impl std::fmt::Debug for Timed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Timed").field(&self.scheme).finish()
    }
}

impl Scheme for Timed {
    fn name(&self) -> &'static str {
        self.scheme.name()
    }

    fn keys(&self, keys: &[BlsKey]) -> Result<Arc<dyn Keys>, SchemeError> {
        self.scheme.keys(keys)
    }

    fn verify(&self, claim: &Claim<'_>) -> bool {
        self.check(Checked::Single, |scheme| scheme.verify(claim))
    }

    fn aggregate(&self, signatures: &[BlsSignature]) -> Result<BlsSignature, SchemeError> {
        self.metrics.bls_aggregate_size.observe(signatures.len() as f64);
        self.scheme.aggregate(signatures)
    }

    fn verify_batch(&self, claims: &[Claim<'_>], secret: &[u8; 32]) -> bool {
        // Nothing to check takes no time worth knowing.
        if claims.is_empty() {
            return self.scheme.verify_batch(claims, secret);
        }
        self.check(Checked::Aggregate, |scheme| scheme.verify_batch(claims, secret))
    }
}

#[cfg(test)]
mod tests {
    use ao_consensus::cheap::{Cheap, CheapSecret};
    use ao_consensus::scheme::SecretKey;

    use super::*;
    use crate::metrics::Build;

    #[test]
    fn the_verdict_is_the_schemes_and_the_time_is_seen() {
        let metrics = Metrics::new(&Build::new("attest", "test")).unwrap();
        let timed = Timed::new(Arc::new(Cheap), metrics.clone());
        let (one, two) = (CheapSecret::new(1), CheapSecret::new(2));
        let keys = timed.keys(&[one.public(), two.public()]).unwrap();
        let (signature, other) = (one.sign(b"m"), two.sign(b"m"));
        let claim = |signature| Claim { keys: keys.one(0).unwrap(), message: b"m", signature };
        assert!(timed.verify(&claim(&signature)) && !timed.verify(&claim(&other)));
        assert!(timed.verify_batch(&[claim(&signature)], &[0; 32]) && !timed.verify_batch(&[claim(&other)], &[0; 32]));
        assert_eq!(timed.aggregate(&[signature, other]), Cheap.aggregate(&[signature, other]));
        let seen = |kind| metrics.bls_verify_seconds.of(kind).get_sample_count();
        assert_eq!((seen(Checked::Single), seen(Checked::Aggregate)), (2, 2));
        assert_eq!(metrics.bls_aggregate_size.get_sample_sum(), 2.0);
    }
}
