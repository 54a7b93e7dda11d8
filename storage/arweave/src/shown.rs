//! Items as schedulers and gateways show them, field by field in JSON, put together again (`arweave.md`, section 10.2).
//!
//! Neither hands out an item's bytes, and neither is believed: what comes out of [`Shown::assemble`] is an item of the id that was shown,
//! whose signature holds, or nothing. Nothing comes out where the writer's tags were not in the canonical form, and where something is shown
//! otherwise than it was signed: data that is no text, an anchor that is none. Such an item has to be read where it lies in a bundle.

use ao_types::hash::sha256;
use ao_types::limits::{TAG_SECTION_BYTES_MAX, TAGS_MAX};
use ao_types::signature::SignatureType;
use ao_types::tag::encode_all;
use ao_types::{DataItem, Id, Profile, Tag, Verified};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// An item without its data, as somebody shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Shown {
    /// Its id, as is claimed.
    pub id: Id,
    /// Who signed it.
    pub owner: Owner,
    /// Its signature, base64url.
    #[serde(default, deserialize_with = "maybe")]
    pub signature: String,
    /// Its tags, in their order.
    pub tags: Vec<Tag>,
    /// Base64url, or the 32 bytes themselves where they are text; empty where there is none, or none that is shown.
    #[serde(default, deserialize_with = "maybe")]
    pub anchor: String,
    /// Its target as text; empty where there is none. Gateways say recipient.
    #[serde(default, alias = "recipient", deserialize_with = "maybe")]
    pub target: String,
}

/// Who signed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Owner {
    /// The public key, base64url.
    #[serde(default, deserialize_with = "maybe")]
    pub key: String,
}

/// `null` is the empty text.
fn maybe<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::<String>::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Shown {
    /// The item, with this data. The kind of signature is not shown: of those whose lengths fit, the one that holds.
    pub fn assemble(&self, data: &[u8]) -> Option<Verified<DataItem>> {
        let (signature, owner) = (decoded(&self.signature)?, decoded(&self.owner.key)?);
        if self.tags.len() > TAGS_MAX || Id(sha256(&[&signature])) != self.id {
            return None;
        }
        let tags = encode_all(&self.tags);
        if tags.len() > TAG_SECTION_BYTES_MAX {
            return None;
        }
        let target = if self.target.is_empty() { None } else { Some(Id::parse(&self.target).ok()?.0) };
        let fits = |kind: &SignatureType| kind.signature_len() == signature.len() && kind.owner_len() == owner.len();
        for kind in SignatureType::ALL.into_iter().filter(fits) {
            for anchor in self.anchors() {
                let mut out = Vec::with_capacity(signature.len() + owner.len() + tags.len() + data.len() + 84);
                out.extend_from_slice(&kind.code().to_le_bytes());
                out.extend_from_slice(&signature);
                out.extend_from_slice(&owner);
                for field in [target, anchor] {
                    out.push(u8::from(field.is_some()));
                    out.extend(field.iter().flatten());
                }
                out.extend_from_slice(&(self.tags.len() as u64).to_le_bytes());
                out.extend_from_slice(&(tags.len() as u64).to_le_bytes());
                out.extend_from_slice(&tags);
                out.extend_from_slice(data);
                let item = DataItem::parse(out.into(), Profile::Archive).and_then(DataItem::verify);
                if let Ok(item) = item.map_err(drop)
                    && item.id() == self.id
                {
                    return Some(item);
                }
            }
        }
        None
    }

    /// What the text may stand for.
    fn anchors(&self) -> Vec<Option<[u8; 32]>> {
        if self.anchor.is_empty() {
            return vec![None];
        }
        let coded = decoded(&self.anchor).and_then(|bytes| bytes.try_into().ok());
        let plain = self.anchor.as_bytes().try_into().ok();
        [coded, plain].into_iter().flatten().map(Some).collect()
    }
}

/// Base64url, with or without padding.
fn decoded(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

#[cfg(test)]
mod tests {
    use ao_types::{ItemBuilder, Wallet};
    use serde_json::{Value, json};

    use super::*;

    fn item(anchor: Option<[u8; 32]>, data: &[u8]) -> Verified<DataItem> {
        let builder = ItemBuilder::new().target(Id([7; 32])).tag("Type", "Message").tag("Data-Protocol", "ao").data(data.to_vec());
        let builder = if let Some(anchor) = anchor { builder.anchor(anchor) } else { builder };
        builder.sign(&Wallet::ed25519_from_seed(&[3; 32])).unwrap()
    }

    fn json_of(item: &DataItem, anchor: Value) -> Value {
        json!({
            "id": item.id(), "owner": { "address": item.address().to_string(), "key": URL_SAFE_NO_PAD.encode(item.owner()) },
            "tags": item.tags().map(|tag| json!({ "name": tag.name_text(), "value": tag.value_text() })).collect::<Vec<_>>(),
            "signature": URL_SAFE_NO_PAD.encode(item.signature()), "anchor": anchor, "target": item.target(),
        })
    }

    fn read(value: Value) -> Shown {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_is_shown_is_the_item_byte_by_byte() {
        let text = *b"00000000000000000000000000000007";
        for (anchor, shown) in [
            (None, Value::Null),
            (None, json!("")),
            (Some([0xfe; 32]), json!(URL_SAFE_NO_PAD.encode([0xfe; 32]))),
            (Some(text), json!(std::str::from_utf8(&text).unwrap())),
            (Some(text), json!(URL_SAFE_NO_PAD.encode(text))),
        ] {
            let item = item(anchor, b"hello");
            let found = read(json_of(&item, shown.clone())).assemble(b"hello").unwrap();
            assert_eq!(found.as_bytes(), item.as_bytes(), "{shown}");
        }
    }

    #[test]
    fn what_was_changed_in_any_field_is_nothing() {
        let anchor = [0x80; 32];
        let whole = item(Some(anchor), b"hello");
        let shown = read(json_of(&whole, json!(URL_SAFE_NO_PAD.encode(anchor))));
        assert!(shown.assemble(b"hello").is_some());
        assert!(shown.assemble(b"hellO").is_none(), "other data");
        let changed = |change: fn(&mut Shown)| {
            let mut shown = shown.clone();
            change(&mut shown);
            assert!(shown.assemble(b"hello").is_none(), "{shown:?}");
        };
        changed(|shown| shown.id = Id([1; 32]));
        changed(|shown| shown.anchor.clear());
        changed(|shown| shown.anchor = "short".into());
        changed(|shown| shown.target.clear());
        changed(|shown| shown.target = "x".into());
        changed(|shown| shown.tags.reverse());
        changed(|shown| shown.tags.push(Tag::new("Action", "Transfer")));
        changed(|shown| shown.tags = vec![Tag::new("a", "b"); TAGS_MAX + 1]);
        changed(|shown| shown.tags = vec![Tag::new("a", "b".repeat(TAG_SECTION_BYTES_MAX))]);
        changed(|shown| shown.owner.key = URL_SAFE_NO_PAD.encode([9; 32]));
        changed(|shown| shown.signature.clear());
        changed(|shown| {
            shown.signature = URL_SAFE_NO_PAD.encode([9; 64]);
            shown.id = Id(sha256(&[&[9; 64]]));
        });
    }
}
