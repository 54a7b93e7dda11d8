//! Where a scheduler is reached (`protocol.md`, section 3.5). The newest one that the scheduler's own wallet signed counts.

use crate::data_item::DataItem;
use crate::id::Address;
use crate::message::{Kind, VARIANT_TN1, ViewError, cut, expect_kind, number, required};
use crate::tag::Tag;

/// A scheduler's word on its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulerLocation {
    /// Who signed it: the scheduler it speaks for.
    pub scheduler: Address,
    /// Base URL, scheme included.
    pub url: String,
    /// How long a resolver may keep it, milliseconds.
    pub time_to_live_ms: u64,
    /// Who signs what the scheduler's processes push: what a new process lists as `Authority`. Not every scheduler says it.
    pub authority: Option<Address>,
}

impl SchedulerLocation {
    /// The tags. `Authority` is ours: whoever does not know it passes over it.
    pub fn tags(url: &str, time_to_live_ms: u64, authority: &Address) -> Vec<Tag> {
        vec![
            Tag::new("Data-Protocol", "ao"),
            Tag::new("Variant", VARIANT_TN1),
            Tag::new("Type", "Scheduler-Location"),
            Tag::new("Url", url),
            Tag::new("Time-To-Live", time_to_live_ms.to_string()),
            Tag::new("Authority", authority.to_string()),
        ]
    }

    /// Reads a Scheduler-Location item.
    pub fn read(item: &DataItem) -> Result<Self, ViewError> {
        expect_kind(item, Kind::SchedulerLocation)?;
        let url = required(item, "Url")?;
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(ViewError::Malformed { tag: "Url", found: cut(url), expected: "a URL of http or https" });
        }
        let time_to_live_ms = number(required(item, "Time-To-Live")?, "Time-To-Live")?;
        let authority = item.tag("Authority").and_then(|text| Address::parse(text).ok());
        Ok(Self { scheduler: item.address(), url: url.to_owned(), time_to_live_ms, authority })
    }
}
