//! Reading vector files.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::Value;

/// A vector file of the folder that `AO_VECTORS` names, or of ours.
pub fn load(file: &str) -> Value {
    let folder = std::env::var_os("AO_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"),
        |folder| {
            let folder = PathBuf::from(folder);
            // Tests run in the crate's folder; a relative name is meant from where cargo was called.
            if folder.is_absolute() { folder } else { PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder) }
        },
    );
    let path = folder.join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cases of a file; `at_least` so many, so that an empty list does not pass for success.
pub fn cases(file: &str, member: &str, at_least: usize) -> Vec<Value> {
    let cases = load(file)[member].as_array().cloned().unwrap_or_default();
    assert!(cases.len() >= at_least, "{file}: {} cases in {member}, {at_least} expected", cases.len());
    cases
}

pub fn text(case: &Value, member: &str) -> String {
    case[member].as_str().unwrap_or_else(|| panic!("{member} is no text in {case}")).to_owned()
}

pub fn bytes(case: &Value, member: &str) -> Bytes {
    decode(&text(case, member)).into()
}

pub fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
