//! The raw RSA operations of AWS-LC, behind types that own what C gave them.
//!
//! The safe bindings verify one salt length, named beforehand; stock Arweave signers use the largest (478), others 32 or 0
//! (`arweave.md`, section 1.1). So the public operation is taken raw and the padding is read by `rsa_pss`. What else is `unsafe` in
//! this crate are the vector instructions of `ifma`.

use std::ptr::{NonNull, null_mut};

use aws_lc_sys as sys;
use zeroize::Zeroizing;

/// Bytes of a modulus, hence of a signature.
pub(crate) const MODULUS_BYTES: usize = 512;

/// AWS-LC said no; its reasons are of no use to a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

/// An `RSA` object that we own.
struct Key(NonNull<sys::RSA>);

// SAFETY: AWS-LC guards the lazily made parts of an RSA object with its own lock; all else is read only after construction.
unsafe impl Send for Key {}
// SAFETY: as above.
unsafe impl Sync for Key {}

impl Key {
    fn own(raw: *mut sys::RSA) -> Result<Self, Refused> {
        NonNull::new(raw).map(Self).ok_or_else(refused)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: owned, freed once.
        unsafe { sys::RSA_free(self.0.as_ptr()) }
    }
}

/// A number that we own.
struct Number(NonNull<sys::BIGNUM>);

impl Number {
    fn new(big_endian: &[u8]) -> Result<Self, Refused> {
        // SAFETY: the slice is valid for its length; a null result is refused.
        let raw = unsafe { sys::BN_bin2bn(big_endian.as_ptr(), big_endian.len(), null_mut()) };
        NonNull::new(raw).map(Self).ok_or_else(refused)
    }

    fn raw(&self) -> *mut sys::BIGNUM {
        self.0.as_ptr()
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        // SAFETY: owned, freed once; cleared first because it may be secret.
        unsafe { sys::BN_clear_free(self.0.as_ptr()) }
    }
}

/// Empties the thread's error queue, which would otherwise grow with every bad signature.
fn refused() -> Refused {
    // SAFETY: touches only this thread's queue.
    unsafe { sys::ERR_clear_error() };
    Refused
}

/// A public key with e = 65537, prepared for use: the Montgomery form of the modulus is made once and kept.
pub(crate) struct PublicKey(Key);

impl PublicKey {
    /// The modulus must have its checks behind it (`rsa_pss::check_modulus`).
    pub(crate) fn new(modulus: &[u8]) -> Result<Self, Refused> {
        let n = Number::new(modulus)?;
        let e = Number::new(&[1, 0, 1])?;
        // SAFETY: both numbers live; the call copies them.
        Key::own(unsafe { sys::RSA_new_public_key(n.raw(), e.raw()) }).map(Self)
    }

    /// `signature ^ e mod n`, as wide as the modulus.
    pub(crate) fn apply(&self, signature: &[u8; MODULUS_BYTES]) -> Result<[u8; MODULUS_BYTES], Refused> {
        let mut out = [0; MODULUS_BYTES];
        let mut written = 0;
        // SAFETY: both buffers are valid for the lengths given.
        let ok = unsafe {
            sys::RSA_verify_raw(
                self.0.0.as_ptr(),
                &mut written,
                out.as_mut_ptr(),
                out.len(),
                signature.as_ptr(),
                signature.len(),
                sys::RSA_NO_PADDING,
            )
        };
        if ok == 1 && written == MODULUS_BYTES { Ok(out) } else { Err(refused()) }
    }
}

/// `2 ^ exponent mod modulus`: what vector code needs to get into Montgomery form.
#[cfg(target_arch = "x86_64")]
pub(crate) fn power_of_two_mod(exponent: usize, modulus: &[u8; MODULUS_BYTES]) -> Result<[u8; MODULUS_BYTES], Refused> {
    let mut power = vec![0; exponent / 8 + 1];
    power[0] = 1 << (exponent % 8);
    let (power, modulus) = (Number::new(&power)?, Number::new(modulus)?);
    let mut out = [0; MODULUS_BYTES];
    // SAFETY: all numbers live, the context is freed, and the buffer is as long as said.
    let ok = unsafe {
        let context = sys::BN_CTX_new();
        let ok = !context.is_null() && sys::BN_nnmod(power.raw(), power.raw(), modulus.raw(), context) == 1;
        sys::BN_CTX_free(context);
        ok && sys::BN_bn2bin_padded(out.as_mut_ptr(), out.len(), power.raw()) == 1
    };
    if ok { Ok(out) } else { Err(refused()) }
}

/// The numbers of a private key, big-endian.
pub(crate) struct Parts {
    pub(crate) n: Zeroizing<Vec<u8>>,
    pub(crate) e: Zeroizing<Vec<u8>>,
    pub(crate) d: Zeroizing<Vec<u8>>,
    pub(crate) p: Zeroizing<Vec<u8>>,
    pub(crate) q: Zeroizing<Vec<u8>>,
    pub(crate) dp: Zeroizing<Vec<u8>>,
    pub(crate) dq: Zeroizing<Vec<u8>>,
    pub(crate) qi: Zeroizing<Vec<u8>>,
}

/// A private key. AWS-LC clears its memory when it is freed.
pub(crate) struct PrivateKey(Key);

impl PrivateKey {
    /// From its parts; they must belong together (n = p·q, d·e ≡ 1, and so on).
    pub(crate) fn new(parts: &Parts) -> Result<Self, Refused> {
        let [n, e, d] = [Number::new(&parts.n)?, Number::new(&parts.e)?, Number::new(&parts.d)?];
        let [p, q] = [Number::new(&parts.p)?, Number::new(&parts.q)?];
        let [dp, dq, qi] = [Number::new(&parts.dp)?, Number::new(&parts.dq)?, Number::new(&parts.qi)?];
        // SAFETY: all numbers live; the call copies them.
        let raw = unsafe { sys::RSA_new_private_key(n.raw(), e.raw(), d.raw(), p.raw(), q.raw(), dp.raw(), dq.raw(), qi.raw()) };
        let key = Key::own(raw)?;
        // SAFETY: the key lives.
        if unsafe { sys::RSA_check_key(key.0.as_ptr()) } != 1 {
            return Err(refused());
        }
        Ok(Self(key))
    }

    /// A new 4096-bit key, e = 65537. Takes a second or so.
    pub(crate) fn generate() -> Result<Self, Refused> {
        // SAFETY: a null result is refused.
        let key = Key::own(unsafe { sys::RSA_new() })?;
        let e = Number::new(&[1, 0, 1])?;
        // SAFETY: key and exponent live; no callback.
        let ok = unsafe { sys::RSA_generate_key_ex(key.0.as_ptr(), 8 * MODULUS_BYTES as i32, e.raw(), null_mut()) };
        if ok == 1 { Ok(Self(key)) } else { Err(refused()) }
    }

    /// The numbers of this key.
    pub(crate) fn parts(&self) -> Parts {
        let rsa = self.0.0.as_ptr();
        // SAFETY: the key lives and is complete, so each getter gives a number that lives as long.
        unsafe {
            Parts {
                n: bytes_of(sys::RSA_get0_n(rsa)),
                e: bytes_of(sys::RSA_get0_e(rsa)),
                d: bytes_of(sys::RSA_get0_d(rsa)),
                p: bytes_of(sys::RSA_get0_p(rsa)),
                q: bytes_of(sys::RSA_get0_q(rsa)),
                dp: bytes_of(sys::RSA_get0_dmp1(rsa)),
                dq: bytes_of(sys::RSA_get0_dmq1(rsa)),
                qi: bytes_of(sys::RSA_get0_iqmp(rsa)),
            }
        }
    }

    /// Signs a SHA-256 digest with PSS and a salt of 32 bytes.
    pub(crate) fn sign_pss(&self, digest: &[u8; 32]) -> Result<[u8; MODULUS_BYTES], Refused> {
        let mut out = [0; MODULUS_BYTES];
        let mut written = 0;
        // SAFETY: both buffers are valid for the lengths given; the digest descriptions are static.
        let ok = unsafe {
            let sha256 = sys::EVP_sha256();
            sys::RSA_sign_pss_mgf1(
                self.0.0.as_ptr(),
                &mut written,
                out.as_mut_ptr(),
                out.len(),
                digest.as_ptr(),
                digest.len(),
                sha256,
                sha256,
                32,
            )
        };
        if ok == 1 && written == MODULUS_BYTES { Ok(out) } else { Err(refused()) }
    }
}

/// # Safety
/// `number` must be null or point to a live number.
unsafe fn bytes_of(number: *const sys::BIGNUM) -> Zeroizing<Vec<u8>> {
    if number.is_null() {
        return Zeroizing::default();
    }
    // SAFETY: live by the contract above; the buffer has exactly the bytes that are written.
    unsafe {
        let mut bytes = Zeroizing::new(vec![0; sys::BN_num_bytes(number) as usize]);
        sys::BN_bn2bin(number, bytes.as_mut_ptr());
        bytes
    }
}
