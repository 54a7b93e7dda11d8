//! Pages of a gateway's index: how one is asked for, and what counts as an answer. What is in a page is its reader's business.

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

use super::index::Wanted;
use super::said::{Said, sort};
use super::{Client, Kind, health};
use crate::limits::{GRAPHQL_BYTES_MAX, INDEX_PAGE};

/// A page.
#[derive(Debug, PartialEq, Eq)]
pub struct Page<N> {
    /// What it shows, in its order.
    pub nodes: Vec<N>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// The body of a question: what is wanted, behind a page's end, and what only this `query` has.
pub fn question(query: &str, wanted: &Wanted, after: Option<&str>, (name, value): (&str, Value)) -> Value {
    let some = |empty: bool, value: Value| if empty { Value::Null } else { value };
    let tags: Vec<Value> = wanted.tags.iter().map(|(name, values)| json!({ "name": name, "values": values })).collect();
    json!({ "query": query, "variables": {
        "ids": some(wanted.ids.is_empty(), json!(wanted.ids)),
        "owners": some(wanted.owners.is_empty(), json!(wanted.owners)),
        "tags": some(tags.is_empty(), json!(tags)),
        "first": INDEX_PAGE, "after": after, name: value,
    } })
}

impl Client {
    /// Asks one gateway a question; the inner `None` is a refusal in the words of GraphQL.
    pub(super) async fn index_page<N: DeserializeOwned>(&self, place: usize, question: &Value) -> Said<Option<Page<N>>> {
        let Some(url) = self.url(Kind::Gateway, place) else { return Said::Nothing };
        let Ok(body) = serde_json::to_vec(question) else { return Said::Nothing };
        let began = self.0.surroundings.now_ms();
        let answer = self.0.fetcher.post(&format!("{url}/graphql"), "application/json", body.into(), GRAPHQL_BYTES_MAX).await;
        let said = answer.as_ref().map_or(Said::Nothing, |answer| sort(answer, |answer| read(&answer.body)));
        // A node of the chain has no index, and is none the worse for it where blocks and data are asked for.
        if answer.as_ref().map_or(true, |answer| answer.status < 500 || answer.status == 503) {
            self.heard(Kind::Gateway, place, &url, health(&answer, matches!(said, Said::Lie)), began);
        }
        said
    }
}

/// A page; the inner `None` is a refusal in the words of GraphQL. More than was asked for at once is no page of an honest index.
pub fn read<N: DeserializeOwned>(body: &[u8]) -> Option<Option<Page<N>>> {
    #[derive(Deserialize)]
    struct Answer<N> {
        data: Option<Data<N>>,
        errors: Option<Vec<IgnoredAny>>,
    }
    #[derive(Deserialize)]
    struct Data<N> {
        #[serde(alias = "blocks")]
        transactions: Option<Connection<N>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Connection<N> {
        page_info: PageInfo,
        edges: Vec<Edge<N>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct PageInfo {
        has_next_page: bool,
    }
    #[derive(Deserialize)]
    struct Edge<N> {
        cursor: String,
        node: N,
    }
    let answer: Answer<N> = serde_json::from_slice(body).ok()?;
    let Some(connection) = answer.data.and_then(|data| data.transactions) else {
        return answer.errors.filter(|errors| !errors.is_empty()).map(|_| None);
    };
    if connection.edges.len() > INDEX_PAGE {
        return None;
    }
    let next = connection.edges.last().filter(|_| connection.page_info.has_next_page).map(|edge| edge.cursor.clone());
    Some(Some(Page { nodes: connection.edges.into_iter().map(|edge| edge.node).collect(), next }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_pages_refusals_or_nothing() {
        let page = |edges: usize, more: bool| {
            let edges: Vec<_> = (0..edges).map(|n| json!({ "cursor": n.to_string(), "node": n })).collect();
            json!({ "data": { "transactions": { "pageInfo": { "hasNextPage": more }, "edges": edges } } })
        };
        let read = |value: &Value| read::<usize>(value.to_string().as_bytes());
        assert_eq!(read(&page(2, true)), Some(Some(Page { nodes: vec![0, 1], next: Some("1".into()) })));
        assert_eq!(read(&page(2, false)), Some(Some(Page { nodes: vec![0, 1], next: None })));
        assert_eq!(read(&page(0, true)), Some(Some(Page { nodes: Vec::new(), next: None })), "it leads nowhere");
        assert!(read(&page(INDEX_PAGE, false)).is_some() && read(&page(INDEX_PAGE + 1, false)).is_none());
        assert_eq!(read(&json!({ "data": null, "errors": [{ "message": "too complex" }] })), Some(None));
        for nothing in [json!({}), json!({ "data": null, "errors": [] }), json!([]), json!({ "data": { "transactions": { "edges": [] } } })]
        {
            assert_eq!(read(&nothing), None, "{nothing}");
        }
        assert_eq!(super::read::<usize>(b"<html>"), None);
    }
}
