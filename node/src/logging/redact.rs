//! What never reaches a log: secrets, and what users sent.
//!
//! Two nets. A field whose name says what it holds is replaced whole; a value that looks like a key or a bearer token is replaced
//! whatever its field is called. A value that is merely long is cut: a log is not a place for payloads.

/// Names of fields that are never written.
const NAMES: [&str; 14] = [
    "secret",
    "secret_key",
    "private_key",
    "seed",
    "mnemonic",
    "password",
    "passphrase",
    "token",
    "api_token",
    "authorization",
    "cookie",
    "jwk",
    "data",
    "body",
];
/// Longest value written, in bytes.
const VALUE_BYTES_MAX: usize = 2_048;
/// Stands for what was there.
pub const MARK: &str = "[redacted]";

/// `value` as it may be written under `name`.
pub fn field(name: &str, value: String) -> String {
    if NAMES.iter().any(|secret| secret.eq_ignore_ascii_case(name)) || looks_secret(&value) {
        return MARK.to_owned();
    }
    cut(value)
}

/// A private JWK in any escaping, or an `Authorization` header.
fn looks_secret(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let jwk = lower.contains("kty") && ["\"d\"", "\\\"d\\\""].iter().any(|member| value.contains(member));
    jwk || lower.contains("bearer ")
}

fn cut(mut value: String) -> String {
    if value.len() > VALUE_BYTES_MAX {
        let whole = value.len();
        let mut at = VALUE_BYTES_MAX;
        while !value.is_char_boundary(at) {
            at -= 1;
        }
        value.truncate(at);
        value.push_str(&format!("… ({whole} bytes)"));
    }
    value
}
