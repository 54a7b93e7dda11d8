use super::*;

/// The two vectors of the standard: one secret, one password, two ways to stretch it.
const SCRYPT: &str = include_str!("../vectors/erc2335-scrypt.json");
const PBKDF2: &str = include_str!("../vectors/erc2335-pbkdf2.json");
const PASSWORD: &str = "𝔱𝔢𝔰𝔱𝔭𝔞𝔰𝔰𝔴𝔬𝔯𝔡🔑";
pub const SECRET: &str = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f";

fn password(text: &str) -> Password {
    Password::new(text).unwrap()
}

#[test]
fn both_vectors_of_the_standard_open() {
    for text in [SCRYPT, PBKDF2] {
        let store = Keystore::parse(text).unwrap();
        assert_eq!(hex::encode(*store.open(&password(PASSWORD)).unwrap()), SECRET);
        let again = Keystore::parse(&store.text().unwrap()).unwrap();
        assert_eq!(again, store);
        let (ours, theirs): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(&store.text().unwrap()).unwrap(), serde_json::from_str(text).unwrap());
        assert_eq!(ours, theirs, "what is written is what the standard shows");
    }
}

#[test]
fn passwords_are_normalised_and_control_characters_do_not_count() {
    assert_eq!(&*password(PASSWORD).0, "testpassword🔑".as_bytes());
    assert_eq!(hex::encode(&*password(PASSWORD).0), "7465737470617373776f7264f09f9491", "as the standard says");
    assert_eq!(password("secret\r\n").0, password("\u{7f}sec\u{85}ret").0);
    for nothing in ["", "\n", "\u{1}\u{9f}"] {
        assert_eq!(Password::new(nothing).unwrap_err(), Error::NoPassword);
    }
    assert_eq!(Password::new(&"a".repeat(PASSWORD_BYTES_MAX + 1)).unwrap_err(), Error::NoPassword);
    assert_eq!(format!("{:?}", password("secret")), "Password(..)");
}

#[test]
fn what_is_sealed_opens_with_its_password_only() {
    let secret = [7; 32];
    let store = Keystore::seal(&secret, &[1; 48], &password("one"), Strength::RandomPassword, "", &[5; 64]).unwrap();
    assert_eq!(*store.open(&password("one")).unwrap(), secret);
    assert_eq!(store.open(&password("two")).unwrap_err(), Error::Password);
    assert!(!store.text().unwrap().contains(&hex::encode(secret)));
    assert_eq!(store.uuid, "05050505-0505-4505-8505-050505050505");
    let other = Keystore::seal(&secret, &[1; 48], &password("one"), Strength::RandomPassword, "", &[6; 64]).unwrap();
    assert_ne!(other.crypto.cipher.message, store.crypto.cipher.message, "another salt, another text");
}

#[test]
fn a_changed_file_does_not_open() {
    let store = Keystore::seal(&[7; 32], &[1; 48], &password("one"), Strength::RandomPassword, "", &[5; 64]).unwrap();
    let mut changed = store.clone();
    let digit = if changed.crypto.cipher.message.starts_with('0') { "1" } else { "0" };
    changed.crypto.cipher.message.replace_range(..1, digit);
    assert_eq!(changed.open(&password("one")).unwrap_err(), Error::Password);
}

#[test]
fn files_that_would_take_the_machine_down_are_refused_before_they_cost() {
    let with = |from: &str, to: &str| Keystore::parse(&SCRYPT.replace(from, to)).unwrap().open(&password("a")).unwrap_err();
    assert!(matches!(with("262144", "4194304"), Error::Cost { what: "memory of kdf.params", .. }));
    assert!(matches!(with("\"r\": 8", "\"r\": 4000000000"), Error::Cost { .. }));
    assert!(matches!(with("\"p\": 1", "\"p\": 100000"), Error::Cost { what: "kdf.params.p", .. }));
    assert!(matches!(with("262144", "262143"), Error::Unsupported { what: "kdf.params", .. }));
    assert!(matches!(with("262144", "0"), Error::Unsupported { what: "kdf.params", .. }));
    assert!(matches!(with("\"dklen\": 32", "\"dklen\": 33"), Error::Unsupported { what: "kdf.params.dklen", .. }));
    assert!(matches!(with("aes-128-ctr", "rot13"), Error::Unsupported { what: "cipher.function", .. }));
    assert!(matches!(with("\"sha256\"", "\"md5\""), Error::Unsupported { what: "checksum.function", .. }));
    assert!(matches!(with("06ae90d5", "06ae90"), Error::Unsupported { what: "cipher.message", .. }));
    assert!(matches!(with("d4e56740", &"ab".repeat(300)), Error::Cost { what: "length of kdf.params.salt", .. }));
    let slow = PBKDF2.replace("262144", "4000000000");
    assert!(matches!(Keystore::parse(&slow).unwrap().open(&password("a")).unwrap_err(), Error::Cost { what: "kdf.params.c", .. }));
    assert!(matches!(Keystore::parse(&SCRYPT.replace("\"version\": 4", "\"version\": 3")), Err(Error::Unsupported { .. })));
    assert!(matches!(Keystore::parse(&SCRYPT.replace("scrypt\",", "argon2\",")), Err(Error::Form { .. })));
    assert!(matches!(Keystore::parse("{}"), Err(Error::Form { .. })));
}
