//! Does one task of the pipeline.

use std::sync::Arc;

use ao_types::Signer;
use ao_types::merkle::Tree;
use bytes::Bytes;

use super::{Context, joined};
use crate::compose::Composed;
use crate::pipeline::{Answer, Bundle, Carrier, Posted, Seeded, Task, Terms, Via};

/// Does it, and says what came of it. Whatever is wrong with the world is an answer.
pub(super) async fn perform(context: &Arc<Context>, number: u64, bundle: &Bundle, tip: u64, task: Task) -> Answer {
    let client = &context.parts.client;
    match task {
        Task::Quote { bytes } => {
            let Some(wallet) = context.parts.signer.address().as_id() else { return Answer::Failed };
            client.quote(&wallet, bytes, tip).await.unwrap_or(Answer::Failed)
        }
        Task::Sign(terms) => match context.bundle(number, bundle.root).await {
            Some(composed) => sign(context, composed, terms).await,
            None => Answer::Failed,
        },
        Task::Post { carrier, except } => post(context, number, bundle, tip, carrier, &except).await,
        Task::Seed { endpoint, from, count } => match context.bundle(number, bundle.root).await {
            Some(composed) => Answer::Seeded(client.post_chunks(&endpoint, &composed, from, count).await),
            None => Answer::Seeded(Seeded::Failed),
        },
        Task::Status { carriers } => {
            let mut known = Vec::with_capacity(carriers.len());
            for carrier in &carriers {
                let found = match context.parts.settings.via {
                    Via::Chain => client.known(carrier, tip).await,
                    Via::Service => client.known_item(carrier).await,
                };
                let Some(found) = found else { return Answer::Failed };
                known.push(found);
            }
            Answer::Status(known)
        }
        Task::Block(place) => client.held(&place).await.map_or(Answer::Failed, Answer::Block),
        Task::ReadBack { place, except } => Answer::ReadBack(match context.parts.settings.via {
            Via::Chain => client.data(&place.carrier, &bundle.root, bundle.bytes, &except).await.is_some(),
            // What gateways serve as an item's data may be in their memory only: the item is read out of the transaction that was mined.
            Via::Service => {
                let data = client.item_data(&place, &except).await;
                data.is_some_and(|data| data.len() as u64 == bundle.bytes && Tree::of(&data).root() == bundle.root)
            }
        }),
    }
}

async fn post(context: &Arc<Context>, number: u64, bundle: &Bundle, tip: u64, carrier: Carrier, except: &[String]) -> Answer {
    let client = &context.parts.client;
    if context.parts.settings.via == Via::Chain {
        return client.post_transaction(carrier.head, except).await;
    }
    match context.bundle(number, bundle.root).await {
        Some(composed) => client.post_item(&carrier.id, joined(&carrier.head, &composed), except, tip).await,
        None => Answer::Posted { endpoint: String::new(), outcome: Posted::Failed },
    }
}

/// Signs where it may take its time, and checks what was signed as a stranger would.
async fn sign(context: &Arc<Context>, composed: Arc<Composed>, terms: Option<Terms>) -> Answer {
    let context = context.clone();
    let signing = tokio::task::spawn_blocking(move || {
        let (network, signer): (_, &dyn Signer) = (&context.parts.network, &*context.parts.signer);
        let Some(terms) = terms else {
            let item = composed.item(network).sign(signer).ok()?;
            let head = item.as_bytes().slice(..item.data_offset());
            return Some(Answer::Signed { id: item.id(), head });
        };
        let transaction = composed.header(network, terms.anchor, terms.reward).sign(signer).ok()?;
        transaction.verify().ok()?;
        let head = Bytes::from(serde_json::to_vec(&transaction).ok()?);
        Some(Answer::Signed { id: transaction.id, head })
    });
    signing.await.ok().flatten().unwrap_or(Answer::Failed)
}
