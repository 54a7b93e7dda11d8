use super::*;

fn found(wat: &str) -> Result<Survey, String> {
    inspect(&wat::parse_str(wat).unwrap())
}

/// Accepted up to the limit, refused one beyond it.
fn bites(make: impl Fn(u64) -> String, limit: u64) {
    for (count, taken) in [(limit - 1, true), (limit, true), (limit + 1, false)] {
        let found = found(&make(count));
        assert_eq!(found.is_ok(), taken, "{count} of {limit}: {:?}", found.err());
    }
}

#[test]
fn every_count_is_bounded() {
    let many = |what: &'static str| move |count: u64| format!("(module {})", what.repeat(count as usize));
    bites(many("(func)"), u64::from(FUNCTIONS_MAX));
    bites(many("(global i32 (i32.const 0))"), u64::from(GLOBALS_MAX));
    bites(many("(import \"a\" \"b\" (func))"), u64::from(IMPORTS_MAX));
    bites(
        |n| format!("(module (func $f) {})", (0..n).map(|n| format!("(export \"{n}\" (func $f))")).collect::<String>()),
        u64::from(EXPORTS_MAX),
    );
    bites(|n| format!("(module (memory 1) {})", "(data (i32.const 0) \"\")".repeat(n as usize)), u64::from(SEGMENTS_MAX));
    bites(|n| format!("(module (table 1 funcref) {})", "(elem (i32.const 0) func)".repeat(n as usize)), u64::from(SEGMENTS_MAX));
    bites(|n| format!("(module {} )", "(table 1 funcref)".repeat(n as usize)), 16);
    bites(|n| format!("(module (table {n} funcref))"), TABLE_ENTRIES_MAX);
    bites(|n| format!("(module (table 50000 funcref) (table {} funcref))", n - 50_000), TABLE_ENTRIES_MAX);
    bites(|n| format!("(module (memory {n}))"), (MEMORY_BYTES_INITIAL_MAX / WASM_PAGE) as u64);
    bites(|n| format!("(module (memory i64 {n}))"), (MEMORY_BYTES_INITIAL_MAX / WASM_PAGE) as u64);
    bites(|n| format!("(module (func (param {})))", "i32 ".repeat(n as usize)), TYPE_VALUES_MAX as u64);
    bites(|n| format!("(module (func (param i32) {}))", "(local i32)".repeat(n as usize - 1)), u64::from(LOCALS_MAX));
    bites(|n| format!("(module (func (br_table {}(i32.const 0))))", "0 ".repeat(n as usize + 1)), u64::from(BR_TABLE_MAX));
}

#[test]
fn size_is_bounded_before_anything_is_read() {
    assert!(inspect(&vec![0; MODULE_BYTES_MAX + 1]).unwrap_err().contains("module size"));
    assert!(!inspect(&vec![0; MODULE_BYTES_MAX]).unwrap_err().contains("module size"));
}

#[test]
fn features_that_are_off_are_refused() {
    for (wat, reason) in [
        ("(module (memory 1 1 shared))", "threads"),
        ("(module (memory 1) (memory 1))", "number of memories 2"),
        ("(module (func (result v128) (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0))))", "relaxed SIMD"),
        ("(module (type (struct)))", "gc"),
        ("(module (func (param externref)))", ""),
    ] {
        let found = found(wat);
        if !reason.is_empty() {
            assert!(found.as_ref().err().is_some_and(|text| text.contains(reason)), "{wat}: {:?}", found.err());
        }
    }
}

#[test]
fn garbage_and_truncated_modules_are_refused() {
    let whole = wat::parse_str("(module (memory 1) (func (export \"handle\") (result i32) (i32.const 7)))").unwrap();
    assert!(inspect(&whole).is_ok());
    for cut in 0..whole.len() {
        let _ = inspect(&whole[..cut]).is_ok();
        let mut damaged = whole.clone();
        damaged[cut] ^= 0x41;
        let _ = inspect(&damaged).is_ok(); // Must return, whatever it says.
    }
    assert!(inspect(&whole[..whole.len() - 1]).is_err());
    assert!(inspect(b"-- Lua").is_err());
}

#[test]
fn the_survey_sees_calls_tables_and_frames() {
    let survey = found(
        "(module (import \"m\" \"i\" (func $i)) (type $t (func)) (table 1 funcref) (elem (i32.const 0) $a) (global $g (mut i32) (i32.const 0))
           (func $a (local i64 i64) (call $b) (call $i)) (func $b (call_indirect (type $t) (i32.const 0)))
           (func (export \"get\") (result i32) (global.get $g)) (func (result i32) (global.get $g) (drop) (global.get $g)))",
    )
    .unwrap();
    assert_eq!(survey.bodies[0].calls, [0, 2].into());
    assert_eq!(survey.bodies[1].indirect.len(), 1);
    assert_eq!(survey.table_functions, [1].into());
    assert_eq!(survey.bodies.iter().map(|body| body.returns_global).collect::<Vec<_>>(), [None, None, Some(0), None]);
    assert!(survey.bodies[0].words >= 18 && survey.globals[0].zero_i32 && !survey.mutates_tables);
}

/// Found by the fuzz target `module`: the rewrites took the last operation for the `end` that was not there.
#[test]
fn a_body_without_an_end_is_no_body() {
    let mut wasm = wat::parse_str("(module (func (nop) (nop)))").unwrap();
    assert!(inspect(&wasm).is_ok());
    let end = wasm.iter().rposition(|byte| *byte == 0x0b).unwrap();
    wasm[end] = 0x01;
    assert_eq!(inspect(&wasm).unwrap_err(), "a function body has no end");
}
