//! The targets on samples and on samples damaged by a fixed generator: a second of fuzzing in every run of the tests.

use super::*;

/// xorshift: the same damage in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

fn damaged(target: fn(&[u8]), samples: &[Vec<u8>], rounds: usize) {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for sample in samples {
        target(sample);
        for round in 0..rounds {
            let mut bytes = sample.clone();
            for _ in 0..=round % 4 {
                let at = dice.below(bytes.len());
                match dice.below(4) {
                    0 => bytes.truncate(at.max(1)),
                    1 => bytes.insert(at, dice.below(256) as u8),
                    2 => bytes[at] ^= 1 << dice.below(8),
                    _ => bytes[at] = dice.below(256) as u8,
                }
            }
            target(&bytes);
        }
    }
}

#[test]
fn modules() {
    let text = r#"(module (import "metering" "usegas" (func $gas (param i64))) (import "env" "f" (func $f (param i32) (result i32 i32)))
      (memory (export "memory") i64 1 2) (table 3 funcref) (global $state (mut i32) (i32.const 0)) (elem (i32.const 0) $g $h)
      (func (export "asyncify_get_state") (result i32) (global.get $state))
      (func $g (param i32) (result i32) (local i64 f64 v128)
        (block (loop (br_table 0 1 0 (local.get 0)))) (if (result i32) (local.get 0) (then (call $h) (i32.const 1)) (else (i32.const 2))))
      (func $h (global.set $state (i32.const 1)) (drop (call_indirect (param i32) (result i32) (i32.const 0) (i32.const 0))) (return))
      (data (i64.const 8) "some data"))"#;
    let without = text.replace(r#"(import "metering" "usegas" (func $gas (param i64)))"#, "");
    damaged(module, &[wat::parse_str(text).unwrap(), wat::parse_str(without).unwrap()], 3_000);
}

#[test]
fn checkpoints() {
    let mut state = memory();
    state.patch(16 * WASM_PAGE, std::iter::empty::<(u32, Option<(_, Bytes)>)>()).unwrap();
    [0, 1, 2, 9, 254].into_iter().for_each(|page| state.overwrite(page, page as u8 + 1));
    state.commit().unwrap();
    let made = checkpoint::make(&mut state, &identity(), None).unwrap();
    damaged(checkpoint, &[made.bytes.to_vec(), (0..64).collect()], 200);
}

#[test]
fn gzips() {
    let mut bytes = vec![0; WASM_PAGE];
    bytes[5000] = 1;
    damaged(gzip, &[checkpoint::export_gzip(&bytes).unwrap()], 200);
}

#[test]
fn results() {
    let json = br#"{"ok":true,"response":{"Output":{"data":"x","prompt":1.5},"Messages":[{"Target":"t","Tags":[{"name":"n","value":2}]}],
      "Spawns":[],"Assignments":[{"Processes":["a"],"Message":"m"}],"Error":null,"Patches":[]}}"#;
    // The guest's form (`lua/c/codec.h`): kind, count or length, content; keys without a kind.
    let key = |text: &str| [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let string = |text: &str| [&[5][..], &key(text)].concat();
    let many = |kind: u8, count: u32, content: Vec<u8>| [&[kind][..], &count.to_le_bytes(), &content].concat();
    let tag = many(7, 2, [key("name"), string("n"), key("value"), string("v")].concat());
    let message = many(7, 3, [key("Target"), string("t"), key("Data"), string("d"), key("Tags"), many(6, 1, tag)].concat());
    let output = many(7, 2, [key("data"), vec![4, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f], key("n"), vec![3, 9, 0, 0, 0, 0, 0, 0, 0]].concat());
    let wire = many(7, 3, [key("Messages"), many(6, 1, message), key("Output"), output, key("Error"), vec![1]].concat());
    let read = lua::fuzzing_evaluation(&wire).unwrap();
    assert_eq!((read.messages.len(), &read.output["data"]), (1, &serde_json::json!(1.5)));
    damaged(result, &[json.to_vec(), wire], 5_000);
}

#[test]
fn times() {
    let fields: Vec<u8> = [59, 30, 23, 31, 11, 124, 2, 365, 0].iter().flat_map(|field: &i32| field.to_le_bytes()).collect();
    let pattern =
        b"%a %A %b %B %c %C %d %D %e %F %g %G %h %H %I %j %m %M %n %p %r %R %S %t %T %u %U %V %w %W %x %X %y %Y %z %Z %% %Ey %Od %";
    damaged(strftime, &[[fields.as_slice(), &1_700_000_000i64.to_le_bytes(), pattern].concat()], 5_000);
}
