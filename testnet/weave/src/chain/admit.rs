//! Whether a transaction is accepted: every check of a real node, with its answers (`arweave.md`, sections 6 and 7).

use ao_types::Id;
use ao_types::hash::sha256;
use ao_types::transaction::{Transaction, TransactionError};

use super::mempool::{reward, root_of};
use super::{Chain, Standing};
use crate::event::Event;
use crate::limits::{ANCHOR_BLOCKS, MEMPOOL_BYTES_MAX};

/// How a transaction was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It waits now.
    New,
    /// It waited already, since the last block: status 208.
    Again,
}

/// Why a transaction is refused; the texts are those of a real node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Form, signature, reward or balance; the reasons are at `GET /tx/{id}` (410).
    #[error("Transaction verification failed.")]
    Verification,
    /// Neither a recent block nor the wallet's last transaction.
    #[error("Invalid anchor (last_tx).")]
    Anchor,
    /// A transaction that waits itself.
    #[error("Invalid anchor (last_tx from mempool).")]
    AnchorInMempool,
    /// Success, for who posts it again.
    #[error("Transaction is already on the weave.")]
    OnWeave,
    /// Success likewise.
    #[error("Transaction is already in the mempool.")]
    InMempool,
    /// Attached data does not have the signed root when it is cut every 256 KiB.
    #[error("The attached data is split in an unknown way.")]
    Split,
}

impl Chain {
    /// Checks a transaction and lets it wait. The caller keeps attached data, which is cut off here: what waits is a header.
    ///
    /// # Errors
    /// It is refused.
    pub fn post(&mut self, mut transaction: Transaction, out: &mut Vec<Event>) -> Result<Accepted, Refusal> {
        let id = transaction.id;
        match self.standing(&id) {
            Some(Standing::Mined(_)) => return Err(Refusal::OnWeave),
            Some(Standing::Pending(waiting)) if waiting.since == self.tip().height => return Ok(Accepted::Again),
            Some(Standing::Pending(_)) => return Err(Refusal::InMempool),
            Some(Standing::Refused(_)) | None => {}
        }
        let data = std::mem::take(&mut transaction.data.0);
        let sender = Id(sha256(&[&transaction.owner.0]));
        let wrong = self.wrong(&transaction, &sender);
        if !wrong.is_empty() {
            // Under an id that its signature does not have, nothing is remembered: it may be another's.
            if !wrong.contains(&"tx_id_not_valid") {
                self.remember_refused(id, wrong);
            }
            return Err(Refusal::Verification);
        }
        self.check_anchor(&transaction, &sender)?;
        if !data.is_empty() && !splits_plainly(&transaction, &data) {
            return Err(Refusal::Split);
        }
        self.commit(Event::Posted(Box::new(transaction)), out);
        while self.mempool.bytes() > MEMPOOL_BYTES_MAX {
            let Some(cheapest) = self.mempool.cheapest() else { break };
            let id = cheapest.transaction.id;
            self.commit(Event::Removed { id }, out);
        }
        Ok(Accepted::New)
    }

    /// Codes of all rules that a transaction breaks, the expensive check last and only where the others hold.
    fn wrong(&self, transaction: &Transaction, sender: &Id) -> Vec<&'static str> {
        let mut wrong = Vec::new();
        if transaction.format != 2 {
            return vec!["tx_format_not_supported"];
        }
        let target = <[u8; 32]>::try_from(transaction.target.0.as_slice()).ok().map(Id);
        let size = transaction.data_size.parse::<u64>();
        if let Ok(size) = size
            && reward(transaction) < self.price(size, target.as_ref())
        {
            wrong.push("tx_too_cheap");
        }
        if self.spendable(sender).checked_sub(cost(transaction)).is_none() {
            wrong.push("overspend");
        }
        if wrong.is_empty()
            && let Err(error) = transaction.verify()
        {
            wrong.push(code(&error));
        }
        // Sizes over 64 bits are beyond any weave.
        if size.is_err() && wrong.is_empty() {
            wrong.push("tx_fields_too_large");
        }
        wrong
    }

    /// What a wallet may still spend: winston on the way to it does not count, winston on the way out does.
    fn spendable(&self, sender: &Id) -> u128 {
        self.wallet(sender).balance.saturating_sub(self.mempool.owed(sender))
    }

    fn check_anchor(&self, transaction: &Transaction, sender: &Id) -> Result<(), Refusal> {
        let anchor = transaction.last_tx.0.as_slice();
        if self.anchor_holds(anchor, sender) {
            return Ok(());
        }
        let waiting = <[u8; 32]>::try_from(anchor).is_ok_and(|id| self.mempool.get(&Id(id)).is_some());
        Err(if waiting { Refusal::AnchorInMempool } else { Refusal::Anchor })
    }

    /// Whether an anchor would hold in the next block: one of the last blocks, or the wallet's last transaction, or nothing where there
    /// was none.
    pub(super) fn anchor_holds(&self, anchor: &[u8], sender: &Id) -> bool {
        match anchor.len() {
            48 => self.blocks.iter().rev().take(ANCHOR_BLOCKS).any(|block| block.hash.0 == anchor),
            32 => self.wallet(sender).last_transaction.is_some_and(|last| last.0 == anchor),
            0 => self.wallet(sender).last_transaction.is_none(),
            _ => false,
        }
    }
}

/// Quantity and reward; overflows count as more than anybody has.
pub(super) fn cost(transaction: &Transaction) -> u128 {
    quantity(transaction).saturating_add(reward(transaction))
}

pub(super) fn quantity(transaction: &Transaction) -> u128 {
    transaction.quantity.parse().unwrap_or_default()
}

/// The real node cuts attached data every 256 KiB and balances nothing.
fn splits_plainly(transaction: &Transaction, data: &[u8]) -> bool {
    root_of(transaction) == Some((Id(crate::chunks::plain_root(data)), data.len() as u64))
}

fn code(error: &TransactionError) -> &'static str {
    match error {
        TransactionError::Format(_) => "tx_format_not_supported",
        TransactionError::Length { field: "target", .. } => "invalid_target_length",
        TransactionError::Length { .. } | TransactionError::Number { .. } => "tx_fields_too_large",
        TransactionError::Id { .. } => "tx_id_not_valid",
        TransactionError::SelfTarget => "same_owner_as_target",
        TransactionError::RootWithoutSize | TransactionError::Data(_) => "tx_data_size_data_root_mismatch",
        TransactionError::Signature => "tx_signature_not_valid",
    }
}
