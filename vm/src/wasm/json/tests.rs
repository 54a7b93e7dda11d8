use ao_types::Tag;
use serde_json::json;

use super::*;
use crate::limits::RESULT_DEPTH_MAX;

fn written(message: &Invocation) -> String {
    let mut out = Vec::new();
    write_message(message, "PROCESS", &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn fields_come_in_order_and_absent_ones_do_not_come() {
    let mut message = Invocation {
        id: Some("ID".into()),
        data: Some("d\"\n\u{e9}".into()),
        owner: "O".into(),
        from: "F".into(),
        tags: vec![Tag::new("a", "1"), Tag::new("a", "2")],
        nonce: Some(7),
        timestamp: 5,
        ..Invocation::default()
    };
    let expected = r#"{"Id":"ID","Data":"d\"\né","Owner":"O","Target":"","From":"F","Tags":[{"name":"a","value":"1"},{"name":"a","value":"2"}],"Nonce":7,"Timestamp":5,"Block-Height":0,"Cron":false}"#;
    assert_eq!(written(&message), expected);
    message.read_only = true;
    assert!(written(&message).ends_with(r#""Cron":false,"Read-Only":true}"#));
}

#[test]
fn data_that_is_no_text_is_null_except_in_the_process_itself() {
    let mut message = Invocation { id: Some("other".into()), data: Some(vec![0xff, b'a'].into()), ..Invocation::default() };
    assert!(written(&message).contains(r#""Data":null"#));
    message.id = Some("PROCESS".into());
    assert!(written(&message).contains("\"Data\":\"\u{fffd}a\""));
}

#[test]
fn results_and_what_becomes_of_the_state() {
    // Text of the guest, error, state kept.
    let cases = [
        (r#"{"ok":true,"response":{"Output":5}}"#, None, true),
        (r#"{"ok":true,"response":{"Error":""}}"#, None, true),
        (r#"{"ok":true,"response":{"Error":false,"Messages":{}}}"#, None, true),
        (r#"{"ok":true,"response":{"Error":0}}"#, None, true),
        (r#"{"ok":true,"response":{"Error":"e"}}"#, Some(json!("e")), false),
        (r#"{"ok":true,"response":{"Error":{}}}"#, Some(json!({})), false),
        (r#"{"ok":true,"response":{"Error":1e16}}"#, Some(json!(10_000_000_000_000_000u64)), false),
        (r#"{"ok":true,"response":{"Output":"not enough memory for buffer allocation"}}"#, None, false),
        (r#"{"ok":true,"response":{"Output":{"data":{"output":"x: not enough memory for buffer allocation"}}}}"#, None, false),
        (r#"{"ok":false,"response":"lua"}"#, Some(json!("lua")), false),
        (r#"{"ok":false}"#, Some(json!("the evaluation failed and says no more")), false),
        (r#"{"ok":true}"#, Some(json!("the result has no response")), false),
        ("[]", Some(json!("the result is not an object")), false),
    ];
    for (text, error, keep) in cases {
        let answer = read_result(text.as_bytes());
        assert_eq!((&answer.evaluation.error, answer.keep), (&error, keep), "{text}");
    }
    assert!(!read_result(b"{").keep);
    assert_eq!(read_result(br#"{"ok":true,"response":{"Output":5}}"#).evaluation.output, json!("5"));
}

#[test]
fn lists_are_bounded_and_entries_that_are_no_objects_are_dropped() {
    let with = |count: usize| format!(r#"{{"ok":true,"response":{{"Messages":[{}]}}}}"#, vec!["{}"; count].join(","));
    assert_eq!(read_result(with(OUTBOX_ENTRIES_MAX).as_bytes()).evaluation.messages.len(), OUTBOX_ENTRIES_MAX);
    let over = read_result(with(OUTBOX_ENTRIES_MAX + 1).as_bytes());
    assert!(!over.keep && over.evaluation.messages.is_empty());
    assert!(over.evaluation.error.unwrap().as_str().unwrap().contains("16385"));
    let mixed = read_result(br#"{"ok":true,"response":{"Messages":[1,"x",{"Target":"t"}]}}"#);
    assert_eq!(mixed.evaluation.messages.len(), 1);
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!(r#"{{"ok":true,"response":{{"Output":{}{}}}}}"#, "[".repeat(depth), "]".repeat(depth));
    // The two objects around it count as well.
    assert!(read_result(nested(RESULT_DEPTH_MAX - 3).as_bytes()).keep);
    assert!(!read_result(nested(RESULT_DEPTH_MAX + 1).as_bytes()).keep);
    assert!(!read_result(nested(1_000_000).as_bytes()).keep);
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let answer = read_result(b"{\"ok\":true,\"response\":{\"Output\":\"a\xffb\"}}");
    assert_eq!(answer.evaluation.output, json!("a\u{fffd}b"));
}
