//! Builds what the command line sends: items with the protocol's tags, as `aoconnect` writes them.

use ao_types::{DataItem, Id, ItemBuilder, Tag, Verified, Wallet};

use super::exit::{Exit, Failure};

/// Variant of the network whose units this node speaks.
const VARIANT: &str = "ao.TN.1";

fn sign(builder: ItemBuilder, wallet: &Wallet) -> Result<Verified<DataItem>, Failure> {
    builder.sign(wallet).map_err(|error| Failure::new(Exit::Usage, error.to_string()).fix("shorten tags or data"))
}

fn protocol(kind: &str) -> [Tag; 4] {
    [Tag::new("Data-Protocol", "ao"), Tag::new("Variant", VARIANT), Tag::new("Type", kind), Tag::new("SDK", "aonode")]
}

/// A message. Empty data become one space, as clients send it: some modules cannot take none.
///
/// # Errors
/// Tags or data are over the limits of an item.
pub fn message(wallet: &Wallet, process: Id, tags: Vec<Tag>, data: Vec<u8>) -> Result<Verified<DataItem>, Failure> {
    let data = if data.is_empty() { b" ".to_vec() } else { data };
    // Two messages alike in everything are one item: the anchor makes each its own.
    let mut anchor = [0; 32];
    crate::datadir::entropy(&mut anchor).map_err(|error| Failure::new(Exit::Bug, format!("no entropy: {error}")))?;
    sign(ItemBuilder::new().target(process).anchor(anchor).tags(tags).tags(protocol("Message")).data(data), wallet)
}

/// A process.
///
/// # Errors
/// Tags or data are over the limits of an item.
pub fn process(wallet: &Wallet, module: &str, scheduler: &str, tags: Vec<Tag>, data: Vec<u8>) -> Result<Verified<DataItem>, Failure> {
    let data = if data.is_empty() { b" ".to_vec() } else { data };
    let mut anchor = [0; 32];
    crate::datadir::entropy(&mut anchor).map_err(|error| Failure::new(Exit::Bug, format!("no entropy: {error}")))?;
    let place = [Tag::new("Module", module), Tag::new("Scheduler", scheduler)];
    sign(ItemBuilder::new().anchor(anchor).tags(tags).tags(protocol("Process")).tags(place).data(data), wallet)
}
