//! The RSA public operation on processors with AVX-512 IFMA: half the time of the scalar code in AWS-LC, which has vector code for
//! private keys only.
//!
//! Numbers are 80 digits of 52 bits, ten vectors of eight. A Montgomery product with R = 2^4160 takes a digit of one factor at a time:
//! add digit × other factor, add the multiple of the modulus that clears the lowest digit, shift down by one digit. Since R is far more
//! than 4n, factors below 2n give products below 2n, so nothing is subtracted until the end.
//!
//! All numbers are public, so nothing here is constant-time. Where the processor lacks the instructions, [`Modulus::new`] says `None`
//! and AWS-LC does the work; a test holds both against each other.

use std::arch::x86_64::{
    __m512i, _mm_cvtsi64_si128, _mm_cvtsi128_si64, _mm512_add_epi64, _mm512_alignr_epi64, _mm512_castsi512_si128, _mm512_loadu_si512,
    _mm512_madd52hi_epu64, _mm512_madd52lo_epu64, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_storeu_si512, _mm512_zextsi128_si512,
};

use super::rsa_sys::{MODULUS_BYTES, power_of_two_mod};

const DIGIT_BITS: usize = 52;
const DIGIT_MASK: u64 = (1 << DIGIT_BITS) - 1;
const DIGITS: usize = 80;
const LANES: usize = 8;
const VECTORS: usize = DIGITS / LANES;
const WORDS: usize = MODULUS_BYTES / 8;

const _: () = assert!(DIGITS * DIGIT_BITS >= 8 * MODULUS_BYTES + 2, "R is at least 4n");
const _: () = assert!(DIGITS.is_multiple_of(LANES));
// Four partial products of 52 bits land on a digit while it moves down through all places.
const _: () = assert!(4 * DIGITS < 1 << (64 - DIGIT_BITS), "a digit's sum fits its 64-bit lane");

/// Little-endian digits, each below 2^52 except inside a product.
type Number = [u64; DIGITS];

/// An odd modulus of 512 bytes, prepared.
pub(super) struct Modulus {
    digits: Number,
    /// R² mod n: a product with it goes into Montgomery form.
    r_squared: Number,
    /// -1/n mod 2^52.
    inverse: u64,
}

impl Modulus {
    /// `None` where the processor lacks the instructions. The modulus must be odd.
    pub(super) fn new(modulus: &[u8; MODULUS_BYTES]) -> Option<Self> {
        if !(is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma")) {
            return None;
        }
        let r_squared = power_of_two_mod(2 * DIGITS * DIGIT_BITS, modulus).ok()?;
        let digits = from_bytes(modulus);
        // Newton: each step doubles the bits that are right; an odd number is its own inverse in the lowest three.
        let inverse = (0..5).fold(digits[0], |inverse, _| inverse.wrapping_mul(2_u64.wrapping_sub(digits[0].wrapping_mul(inverse))));
        Some(Self { digits, r_squared: from_bytes(&r_squared), inverse: inverse.wrapping_neg() & DIGIT_MASK })
    }

    /// `base ^ 65537 mod n`; `base` below n.
    pub(super) fn power_65537(&self, base: &[u8; MODULUS_BYTES]) -> [u8; MODULUS_BYTES] {
        let base = from_bytes(base);
        let mut power = self.product(&base, &self.r_squared);
        for _ in 0..16 {
            power = self.product(&power, &power);
        }
        // A product of a Montgomery form and a plain number is plain: the way back costs nothing.
        let mut power = self.product(&power, &base);
        if !is_below(&power, &self.digits) {
            subtract(&mut power, &self.digits);
        }
        to_bytes(&power)
    }

    fn product(&self, a: &Number, b: &Number) -> Number {
        // SAFETY: a `Modulus` exists only where the processor has the instructions.
        unsafe { montgomery_product(a, b, &self.digits, self.inverse) }
    }
}

/// `a · b / R mod n`, below 2n if both factors are.
#[target_feature(enable = "avx512f,avx512ifma")]
fn montgomery_product(a: &Number, b: &Number, n: &Number, inverse: u64) -> Number {
    let zero = _mm512_setzero_si512();
    let (a_vectors, n_vectors) = (load(a), load(n));
    let mut sum = [zero; VECTORS];
    for &digit in b {
        // The lowest digit runs ahead in scalar registers: the multiple of n depends on nothing else.
        let low = (_mm_cvtsi128_si64(_mm512_castsi512_si128(sum[0])) as u64).wrapping_add(a[0].wrapping_mul(digit) & DIGIT_MASK);
        let multiple = low.wrapping_mul(inverse) & DIGIT_MASK;
        let carry = low.wrapping_add(n[0].wrapping_mul(multiple) & DIGIT_MASK) >> DIGIT_BITS;

        let (digit, multiple) = (_mm512_set1_epi64(digit as i64), _mm512_set1_epi64(multiple as i64));
        for i in 0..VECTORS {
            sum[i] = _mm512_madd52lo_epu64(sum[i], a_vectors[i], digit);
            sum[i] = _mm512_madd52lo_epu64(sum[i], n_vectors[i], multiple);
        }
        for i in 0..VECTORS - 1 {
            sum[i] = _mm512_alignr_epi64::<1>(sum[i + 1], sum[i]);
        }
        sum[VECTORS - 1] = _mm512_alignr_epi64::<1>(zero, sum[VECTORS - 1]);
        sum[0] = _mm512_add_epi64(sum[0], _mm512_zextsi128_si512(_mm_cvtsi64_si128(carry as i64)));
        for i in 0..VECTORS {
            sum[i] = _mm512_madd52hi_epu64(sum[i], a_vectors[i], digit);
            sum[i] = _mm512_madd52hi_epu64(sum[i], n_vectors[i], multiple);
        }
    }
    let mut out = [0; DIGITS];
    for (vector, digits) in sum.into_iter().zip(out.chunks_exact_mut(LANES)) {
        // SAFETY: the chunk has the eight words that are written; no alignment is asked for.
        unsafe { _mm512_storeu_si512(digits.as_mut_ptr().cast(), vector) };
    }
    // The next product reads only 52 bits of a digit, so carries are resolved now.
    let mut carry = 0;
    for digit in &mut out {
        let sum = *digit + carry;
        *digit = sum & DIGIT_MASK;
        carry = sum >> DIGIT_BITS;
    }
    out
}

#[target_feature(enable = "avx512f")]
fn load(number: &Number) -> [__m512i; VECTORS] {
    let mut vectors = [_mm512_setzero_si512(); VECTORS];
    for (vector, digits) in vectors.iter_mut().zip(number.chunks_exact(LANES)) {
        // SAFETY: the chunk has the eight words that are read; no alignment is asked for.
        *vector = unsafe { _mm512_loadu_si512(digits.as_ptr().cast()) };
    }
    vectors
}

fn is_below(a: &Number, b: &Number) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

/// `a -= b`, where b is not larger.
fn subtract(a: &mut Number, b: &Number) {
    let mut borrow = 0;
    for (a, b) in a.iter_mut().zip(b) {
        let difference = a.wrapping_sub(*b).wrapping_sub(borrow);
        *a = difference & DIGIT_MASK;
        borrow = difference >> 63;
    }
}

fn from_bytes(big_endian: &[u8; MODULUS_BYTES]) -> Number {
    let mut words = [0_u64; WORDS + 1];
    for (word, bytes) in words.iter_mut().zip(big_endian.rchunks_exact(8)) {
        *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    }
    std::array::from_fn(|digit| {
        let (word, shift) = (digit * DIGIT_BITS / 64, digit * DIGIT_BITS % 64);
        let pair = words.get(word..word + 2).map_or(0, |pair| u128::from(pair[1]) << 64 | u128::from(pair[0]));
        (pair >> shift) as u64 & DIGIT_MASK
    })
}

fn to_bytes(number: &Number) -> [u8; MODULUS_BYTES] {
    let mut words = [0_u64; WORDS + 2];
    for (digit, value) in number.iter().enumerate() {
        let (word, shift) = (digit * DIGIT_BITS / 64, digit * DIGIT_BITS % 64);
        let placed = u128::from(*value) << shift;
        words[word] |= placed as u64;
        words[word + 1] |= (placed >> 64) as u64;
    }
    let mut bytes = [0; MODULUS_BYTES];
    for (word, bytes) in words.iter().zip(bytes.rchunks_exact_mut(8)) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::signature::rsa_sys::PublicKey;

    fn bytes() -> impl Strategy<Value = [u8; MODULUS_BYTES]> {
        prop::collection::vec(any::<u8>(), MODULUS_BYTES).prop_map(|bytes| bytes.try_into().unwrap())
    }

    /// Any odd number of 4089 to 4096 bits will do: the operation does not ask for two primes.
    fn modulus() -> impl Strategy<Value = [u8; MODULUS_BYTES]> {
        (bytes(), 1..=255_u8, any::<bool>()).prop_map(|(mut bytes, first, extreme)| {
            if extreme {
                bytes = [0xff; MODULUS_BYTES];
            }
            bytes[0] = first;
            bytes[MODULUS_BYTES - 1] |= 1;
            bytes
        })
    }

    fn same(modulus: &[u8; MODULUS_BYTES], base: &[u8; MODULUS_BYTES]) {
        let Some(fast) = Modulus::new(modulus) else { return };
        let expected = PublicKey::new(modulus).unwrap().apply(base).unwrap();
        assert_eq!(hex::encode(fast.power_65537(base)), hex::encode(expected));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_result_is_that_of_aws_lc(modulus in modulus(), mut base in bytes(), near in 0..4_u8) {
            // Below the modulus: smaller first byte, or the modulus less a little.
            if near > 0 {
                base = modulus;
                base[MODULUS_BYTES - 1] = base[MODULUS_BYTES - 1].saturating_sub(near);
            } else {
                base[0] = base[0].min(modulus[0] - 1);
            }
            same(&modulus, &base);
        }

        #[test]
        fn digits_are_another_way_to_write_bytes(bytes in bytes()) {
            prop_assert_eq!(to_bytes(&from_bytes(&bytes)), bytes);
            prop_assert!(from_bytes(&bytes).iter().all(|digit| *digit <= DIGIT_MASK));
        }
    }

    #[test]
    fn the_edges_are_right() {
        let mut largest = [0xff; MODULUS_BYTES];
        let mut smallest = [0; MODULUS_BYTES];
        (smallest[0], smallest[MODULUS_BYTES - 1]) = (1, 1);
        for modulus in [largest, smallest] {
            let mut base = [0; MODULUS_BYTES];
            same(&modulus, &base);
            base[MODULUS_BYTES - 1] = 1;
            same(&modulus, &base);
            base = modulus;
            base[MODULUS_BYTES - 1] -= 1;
            same(&modulus, &base);
        }
        largest[MODULUS_BYTES - 1] = 0xfd;
        same(&largest, &smallest);
    }
}
