//! Logs and items of others, as schedulers and gateways show them: those that lie, loop, flood or send elsewhere cost requests, never truth.

mod common;

use std::sync::Arc;

use ao_arweave::client::Client;
use ao_arweave::client::index::{Budget, Wanted};
use ao_arweave::compose::compose;
use ao_arweave::limits::{INDEX_PAGE, NODES_PAGES_MAX, SCHEDULE_BYTES_MAX};
use ao_arweave::recover::depot::Depot;
use ao_arweave::recover::fetch::{fetch, fetch_now};
use ao_arweave::recover::seek;
use ao_types::{DataItem, Id, ItemBuilder, NetworkId, Slot, Verified, Wallet};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use common::{World, wallet};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Path and body of every request.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

enum Say {
    Json(Value),
    Status(u16),
    Bytes(Bytes),
    Page(&'static str),
    See(&'static str),
    Flood,
}

/// Says to each request what `say` makes of its path, body and number.
async fn server(say: impl Fn(&str, &Value, usize) -> Say + Send + Sync + 'static) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (asked, say) = (Asked::default(), Arc::new(say));
    let heard = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (say, heard) = (say.clone(), heard.clone());
            // Whoever hangs up is not waited for.
            tokio::spawn(async move { answer(stream, &*say, &heard).await.ok() });
        }
    });
    (url, asked)
}

async fn answer(stream: TcpStream, say: &(dyn Fn(&str, &Value, usize) -> Say + Send + Sync), heard: &Asked) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line).await?;
    let path = line.split_whitespace().nth(1).unwrap_or_default().to_owned();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let said = {
        let mut heard = heard.lock();
        heard.push((path.clone(), body));
        say(&path, &heard.last().unwrap().1, heard.len())
    };
    let stream = stream.get_mut();
    let (head, body) = match said {
        Say::Json(value) => ("200 OK\r\ncontent-type: application/json".to_owned(), value.to_string()),
        Say::Bytes(bytes) => {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", bytes.len());
            stream.write_all(head.as_bytes()).await?;
            return stream.write_all(&bytes).await;
        }
        Say::Status(status) => (format!("{status} X"), String::new()),
        Say::Page(text) => ("200 OK\r\ncontent-type: text/html".to_owned(), text.to_owned()),
        Say::See(place) => (format!("307 Temporary Redirect\r\nlocation: {place}"), String::new()),
        Say::Flood => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await?;
            for _ in 0..=SCHEDULE_BYTES_MAX >> 16 {
                stream.write_all(&[b' '; 1 << 16]).await?;
            }
            return Ok(());
        }
    };
    stream.write_all(format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).as_bytes()).await
}

fn client(gateways: &[&str], schedulers: &[&str]) -> Client {
    let owned = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>();
    Client::reader(&owned(gateways), &owned(schedulers), World::new()).unwrap()
}

fn item(n: u64) -> Verified<DataItem> {
    let builder = ItemBuilder::new().target(Id([7; 32])).anchor([0xf0; 32]).tag("Type", "Message").data(n.to_string());
    builder.sign(&Wallet::ed25519_from_seed(&[3; 32])).unwrap()
}

/// As a gateway shows it.
fn node(item: &DataItem) -> Value {
    let tags: Vec<Value> = item.tags().map(|tag| json!({ "name": tag.name_text(), "value": tag.value_text() })).collect();
    json!({
        "id": item.id(), "anchor": URL_SAFE_NO_PAD.encode(item.anchor().unwrap()), "signature": URL_SAFE_NO_PAD.encode(item.signature()),
        "recipient": item.target(), "owner": { "key": URL_SAFE_NO_PAD.encode(item.owner()) }, "tags": tags, "block": { "height": 9 },
    })
}

fn page(items: &[Verified<DataItem>], cursor: &str, more: bool) -> Value {
    let edges: Vec<Value> = items.iter().map(|item| json!({ "cursor": cursor, "node": node(item) })).collect();
    json!({ "data": { "transactions": { "pageInfo": { "hasNextPage": more }, "edges": edges } } })
}

#[tokio::test]
async fn pages_of_an_index_end_and_everything_that_anybody_shows_is_handed_out() {
    let item_0 = item(0);
    let wanted = Wanted { ids: vec![item_0.id()], ..Wanted::default() };
    let shown = item_0.clone();
    // Pages without an end, each with another cursor, and items that nobody asked for.
    let (endless, asked) = server(move |_, _, number| Say::Json(page(&[shown.clone(), item(1)], &number.to_string(), true))).await;
    let found = client(&[&endless], &[]).nodes(&wanted).await;
    assert_eq!((asked.lock().len(), found.answered), (NODES_PAGES_MAX, 1));
    assert_eq!(found.found.keys().collect::<Vec<_>>(), [&item_0.id()]);
    assert_eq!(found.found[&item_0.id()][0].shown.assemble(b"0").unwrap().as_bytes(), item_0.as_bytes());
    // Round and round.
    let shown = item_0.clone();
    let (round, asked) = server(move |_, _, _| Say::Json(page(std::slice::from_ref(&shown), "same", true))).await;
    assert_eq!((client(&[&round], &[]).nodes(&wanted).await.found.len(), asked.lock().len()), (1, 2));
    // More at once than was asked for, and pages for people: no answers.
    let (flood, _) = server(|_, _, _| Say::Json(page(&(0..=INDEX_PAGE as u64).map(item).collect::<Vec<_>>(), "c", false))).await;
    let (people, _) = server(|_, _, _| Say::Page("<html>")).await;
    let (elsewhere, _) = server(|_, _, _| Say::See("http://169.254.169.254/")).await;
    let found = client(&[&flood, &people, &elsewhere], &[]).nodes(&wanted).await;
    assert_eq!((found.answered, found.found.len()), (0, 0));
    // One that lies hides nothing that another shows.
    let lie = {
        let mut lie = page(std::slice::from_ref(&item_0), "c", false);
        lie["data"]["transactions"]["edges"][0]["node"]["tags"] = json!([]);
        lie
    };
    let (liar, _) = server(move |_, _, _| Say::Json(lie.clone())).await;
    let shown = item_0.clone();
    let (honest, _) = server(move |_, _, _| Say::Json(page(std::slice::from_ref(&shown), "c", false))).await;
    let found = client(&[&liar, &honest], &[]).nodes(&wanted).await;
    let variants = &found.found[&item_0.id()];
    assert_eq!(variants.iter().map(|node| node.shown.assemble(b"0").is_some()).collect::<Vec<_>>(), [false, true]);
    // The newest are asked for as such, and one page is enough.
    let (endless, asked) = server(move |_, _, number| Say::Json(page(&[item(1)], &number.to_string(), true))).await;
    client(&[&endless], &[]).newest_nodes(&Wanted::default()).await;
    let asked = asked.lock().clone();
    assert_eq!((asked.len(), &asked[0].1["variables"]["sort"]), (1, &json!("HEIGHT_DESC")));
}

#[tokio::test]
async fn data_is_what_was_signed_whatever_type_it_is_served_under() {
    let (wrong, _) = server(|_, _, _| Say::Json(json!(1))).await;
    let (right, _) = server(|_, _, _| Say::Page("<html>")).await;
    let client = client(&[&wrong, &right], &[]);
    let keep = |data: Bytes| (data == "<html>").then_some(data);
    assert_eq!(client.raw(&Id([1; 32]), 64, keep).await.unwrap(), "<html>");
    assert_eq!(client.raw(&Id([1; 32]), 5, keep).await, None, "larger than such data can be");
    assert_eq!(client.raw(&Id([1; 32]), 64, |_| None::<()>).await, None);
    assert!(client.gateways().iter().all(|gateway| gateway.failures() <= 1), "nobody is blamed for what cannot be compared");
}

#[tokio::test]
async fn many_lies_about_one_item_cost_one_look_at_its_data() {
    let right = item(0);
    let id = right.id();
    let wanted = Wanted { ids: vec![id], ..Wanted::default() };
    // A page full of items of the same id, each with other tags, and pages without an end.
    let lies = move |number: usize| {
        let mut lies = page(&vec![item(0); INDEX_PAGE], &number.to_string(), true);
        for (at, edge) in lies["data"]["transactions"]["edges"].as_array_mut().unwrap().iter_mut().enumerate() {
            edge["node"]["tags"] = json!([{ "name": "Lie", "value": format!("{number}-{at}") }]);
        }
        lies
    };
    let (liar, asked) = server(move |path, _, number| if path == "/graphql" { Say::Json(lies(number)) } else { Say::Json(json!(0)) }).await;
    let shown = right.clone();
    let (honest, asked_too) = server(move |path, _, _| match path {
        "/graphql" => Say::Json(page(std::slice::from_ref(&shown), "c", false)),
        _ => Say::Page("<html>"),
    })
    .await;
    let raws = |asked: &Asked| asked.lock().iter().filter(|(path, _)| path.starts_with("/raw/")).count();
    let alone = client(&[&liar], &[]);
    let nodes = alone.nodes(&wanted).await;
    assert_eq!(nodes.found[&id].len(), 1, "the first of a gateway");
    let (item, served) = alone.whole(&id, &nodes.found[&id], 64).await;
    assert_eq!((item.is_none(), served, raws(&asked)), (true, true, 1));
    // What it serves is the data, what the other shows is the rest.
    let both = client(&[&liar, &honest], &[]);
    let nodes = both.nodes(&wanted).await;
    let (item, served) = both.whole(&id, &nodes.found[&id], 64).await;
    assert_eq!((item.unwrap().as_bytes(), served, raws(&asked), raws(&asked_too)), (right.as_bytes(), true, 2, 0));
}

/// A page of a scheduler's log.
fn log(items: &[Verified<DataItem>]) -> Value {
    let edge = |item: &Verified<DataItem>| {
        let mut message = node(item);
        message["data"] = json!(String::from_utf8_lossy(item.data()));
        message["target"] = message["recipient"].take();
        message.as_object_mut().unwrap().remove("recipient");
        json!({ "cursor": "1", "node": { "message": message, "assignment": node(item) } })
    };
    json!({ "page_info": { "has_next_page": true }, "edges": items.iter().map(edge).collect::<Vec<_>>() })
}

#[tokio::test]
async fn pages_of_a_log_have_bounds_and_larger_ones_are_asked_for_in_parts() {
    let process = Id([7; 32]);
    let limit = |path: &str| path.split_once("limit=").unwrap().1.split('&').next().unwrap().parse::<usize>().unwrap();
    // Too large until fewer are asked for.
    let (large, asked) = server(move |path, _, _| if limit(path) > 10 { Say::Flood } else { Say::Json(log(&[item(4), item(5)])) }).await;
    let pages = client(&[], &[&large]).schedule(&process, Some(Slot(3)), 500).await;
    assert_eq!((pages.len(), pages[0].edges.len(), pages[0].more), (1, 2, true));
    let (shown, data) = pages[0].edges[0].message.as_ref().unwrap();
    assert_eq!(shown.assemble(data.as_ref().unwrap().as_bytes()).unwrap().id(), item(4).id());
    let limits: Vec<usize> = asked.lock().iter().map(|(path, _)| limit(path)).collect();
    assert_eq!(limits, [500, 125, 31, 7]);
    assert!(asked.lock()[0].0.contains("from-nonce=3&"));
    // Too large whatever is asked for: nothing, and an end.
    let (flood, asked) = server(|_, _, _| Say::Flood).await;
    assert!(client(&[], &[&flood]).schedule(&process, None, 8).await.is_empty());
    assert_eq!(asked.lock().len(), 3);
    assert!(asked.lock()[0].0.contains("from-nonce=-1&"));
    // More slots than were asked for, other words, other places.
    let (more, _) = server(|_, _, _| Say::Json(log(&[item(1), item(2), item(3)]))).await;
    let (words, _) = server(|_, _, _| Say::Json(json!({ "edges": 1 }))).await;
    let (elsewhere, _) = server(|_, _, _| Say::See("http://127.0.0.1:1/")).await;
    assert!(client(&[], &[&more, &words, &elsewhere]).schedule(&process, None, 2).await.is_empty());
    // Every scheduler that answers is heard.
    let (one, _) = server(|_, _, _| Say::Json(log(&[item(1)]))).await;
    let (two, _) = server(|_, _, _| Say::Json(log(&[item(2)]))).await;
    assert_eq!(client(&[], &[&one, &words, &two]).schedule(&process, None, 2).await.len(), 2);
}

#[tokio::test]
async fn an_index_that_takes_its_time_for_every_page_is_not_waited_for() {
    let world = World::new();
    let clock = world.clone();
    // Each page comes in time.
    let (slow, asked) = server(move |_, _, number| {
        clock.pass(25_000);
        Say::Json(page(&[item(number as u64)], &number.to_string(), true))
    })
    .await;
    let client = Client::reader(&[slow], &[], world).unwrap();
    let wanted = Wanted { heights: Some((0, 100)), ..Wanted::default() };
    let found = client.index(&wanted, &mut Budget::new(wanted.heights, 10_000)).await;
    assert_eq!((found.answered, asked.lock().len()), (0, 5), "two minutes, and the page on the way");
}

/// What an index says of an item: in a block, and in such a bundle.
fn lies_in(id: Id, bundle: Option<Id>) -> Value {
    json!({ "cursor": id, "node": { "id": id, "block": { "height": 9 }, "bundledIn": bundle.map(|id| json!({ "id": id })) } })
}

fn index(edges: Vec<Value>, more: bool) -> Say {
    Say::Json(json!({ "data": { "transactions": { "pageInfo": { "hasNextPage": more }, "edges": edges } } }))
}

/// Ids that a question names.
fn asked_for(body: &Value) -> Vec<Id> {
    serde_json::from_value(body["variables"]["ids"].clone()).unwrap_or_default()
}

fn invented(number: usize, nth: usize) -> Id {
    let mut id = [0; 32];
    id[16..24].copy_from_slice(&number.to_be_bytes());
    id[24..].copy_from_slice(&nth.to_be_bytes());
    Id(id)
}

const NETWORK: NetworkId = NetworkId([1; 32]);

#[tokio::test]
async fn an_index_that_answers_each_question_with_the_next_has_its_time_once() {
    let world = World::new();
    let clock = world.clone();
    let (slow, asked) = server(move |_, body, number| {
        clock.pass(25_000);
        let ids = asked_for(body);
        let of = if ids.is_empty() { vec![invented(0, 0)] } else { ids };
        index(of.into_iter().map(|id| lies_in(id, Some(invented(number, 1)))).collect(), false)
    })
    .await;
    let client = Client::reader(&[slow], &[], world).unwrap();
    let sought = seek::network(&client, &NETWORK, (0, 100), 1_000).await;
    assert_eq!((sought.answered, sought.cut, asked.lock().len()), (1, false, 5), "not five for each level");
}

#[tokio::test]
async fn bundles_that_one_gateway_invents_are_bounded_and_hide_none_of_another() {
    const HITS_MAX: usize = 950;
    let (item, bundle, above) = (Id([0xf0; 32]), Id([0xf1; 32]), Id([0xf2; 32]));
    // Pages without an end, and each entry in a bundle of its own.
    let (liar, asked) = server(|_, body, number| {
        let ids = asked_for(body);
        let of: Vec<Id> = if ids.is_empty() { (0..INDEX_PAGE).map(|nth| invented(2 * number, nth)).collect() } else { ids };
        index(of.into_iter().enumerate().map(|(nth, id)| lies_in(id, Some(invented(2 * number + 1, nth)))).collect(), true)
    })
    .await;
    let world = World::new();
    let clock = world.clone();
    let (honest, _) = server(move |_, body, _| {
        clock.pass(50_000);
        let ids = asked_for(body);
        if ids.is_empty() {
            return index(vec![lies_in(item, Some(bundle))], false);
        }
        index(ids.contains(&bundle).then(|| lies_in(bundle, Some(above))).into_iter().collect(), false)
    })
    .await;
    let alone = client(&[&liar], &[]);
    let sought = seek::network(&alone, &NETWORK, (0, 100), HITS_MAX).await;
    assert_eq!((sought.answered, sought.cut, sought.carriers.len()), (0, true, HITS_MAX));
    // Pages of entries, and nothing is left to it for those that it named.
    assert_eq!(asked.lock().len(), HITS_MAX.div_ceil(INDEX_PAGE));
    // The honest one has time for three answers, and its own bundle is in the second question.
    let client = Client::reader(&[liar, honest], &[], world).unwrap();
    let sought = seek::network(&client, &NETWORK, (0, 100), HITS_MAX).await;
    assert!(sought.answered == 1 && sought.cut && sought.carriers.contains(&above), "{sought:?}");
}

#[tokio::test]
async fn a_node_of_the_chain_without_an_index_is_none_the_worse_for_it() {
    let (plain, _) = server(|path, _, _| if path == "/graphql" { Say::Status(501) } else { Say::Page("<html>") }).await;
    let (busy, _) = server(|_, _, _| Say::Status(503)).await;
    let client = client(&[&plain, &busy], &[]);
    assert_eq!(client.nodes(&Wanted::default()).await.answered, 0);
    assert_eq!(client.index(&Wanted::default(), &mut Budget::new(None, 1)).await.answered, 0);
    let failures: Vec<u32> = client.gateways().iter().map(|gateway| gateway.failures()).collect();
    assert_eq!(failures, [0, 1], "one that asks to be left alone is");
    assert_eq!(client.raw(&Id([1; 32]), 64, Some).await.unwrap(), "<html>");
}

#[tokio::test]
async fn a_header_is_nowhere_only_where_gateways_say_so() {
    let composed = compose(&[item(0)]).unwrap();
    let header = composed.header(&NETWORK, [5; 48], 1).sign(&wallet(0)).unwrap();
    let id = header.id;
    let (shown, data) = (json!(header), composed.bytes.clone());
    // It wants to be left alone at first.
    let (busy, asked) = server(move |path, _, number| match path {
        _ if number == 1 => Say::Status(429),
        _ if path.starts_with("/raw/") => Say::Bytes(data.clone()),
        _ => Say::Json(shown.clone()),
    })
    .await;
    let fetched = fetch(&client(&[&busy], &[]), None, [id], &mut Depot::in_memory(), |_| ()).await.unwrap();
    assert_eq!((fetched.new, fetched.unknown.len(), fetched.missing.len()), (vec![0], 0, 0));
    assert_eq!(asked.lock().len(), 3, "it was waited for");
    // Whoever said what cannot be is left alone for longer than anybody waits.
    let (liar, asked) = server(|_, _, _| Say::Json(json!(1))).await;
    let fetched = fetch(&client(&[&liar], &[]), None, [id], &mut Depot::in_memory(), |_| ()).await.unwrap();
    assert_eq!((fetched.missing.len(), asked.lock().len()), (1, 1));
    // Nobody says anything, or too few: it may be there.
    let (silent, asked) = server(|_, _, _| Say::Status(503)).await;
    let (empty, _) = server(|_, _, _| Say::Status(404)).await;
    let (other, _) = server(|_, _, _| Say::Status(404)).await;
    let now = async |gateways: &[&str]| {
        let fetched = fetch_now(&client(gateways, &[]), None, [id], &mut Depot::in_memory()).await.unwrap();
        (fetched.unknown.contains(&id), fetched.missing.contains(&id))
    };
    assert_eq!(now(&[&silent]).await, (false, true));
    assert_eq!(now(&[&silent, &empty]).await, (false, true));
    assert_eq!(asked.lock().len(), 2, "without waiting");
    assert_eq!(now(&[&silent, &empty, &other]).await, (true, false));
    assert_eq!(now(&[&empty]).await, (true, false));
}
