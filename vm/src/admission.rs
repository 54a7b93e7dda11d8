//! What a module may look like before any of it is compiled (`faults.md` F27, F29).
//!
//! One pass of the validator over the binary checks every limit of [`crate::limits`] that concerns modules and collects what the rewrites
//! need to know ([`Survey`]). Cost is linear in the size of the binary, which is itself limited. Cranelift's cost is linear in the size of
//! a function except for a few shapes (thousands of locals or branch targets, deep nesting): those have limits of their own here.
//!
//! Refused besides: imported memories, tables, globals and tags; a second memory; a start function; tail calls, exceptions, threads,
//! relaxed SIMD and GC types; exports in our own name space.

use std::collections::BTreeSet;

use ao_types::Id;
use wasmparser::{
    CompositeInnerType, ElementItems, ExternalKind, FuncType, Operator, Parser, Payload, TypeRef, ValType, ValidPayload, Validator,
    WasmFeatures,
};

use crate::Refusal;
use crate::limits::*;

/// Prefix of the exports that the rewrites add.
pub(crate) const OWN_PREFIX: &str = "ao:";

/// What one pass over a module found.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) types: Vec<FuncType>,
    /// Imported functions: module, name, type.
    pub(crate) imports: Vec<(String, String, u32)>,
    /// Types of defined functions.
    pub(crate) functions: Vec<u32>,
    /// Bodies of defined functions.
    pub(crate) bodies: Vec<Body>,
    /// Defined globals.
    pub(crate) globals: Vec<Global>,
    /// Functions that a table may hold.
    pub(crate) table_functions: BTreeSet<u32>,
    /// Exported functions.
    pub(crate) exports: Vec<(String, u32)>,
    /// Memory is 64-bit.
    pub(crate) memory64: bool,
    /// Has a memory at all.
    pub(crate) has_memory: bool,
    /// Bytes the memory may grow to by its own declaration.
    pub(crate) memory_bytes_max: u64,
    /// State outside memory and globals can change: tables, dropped segments.
    pub(crate) mutates_tables: bool,
    /// Has a global section, an export section.
    pub(crate) sections: (bool, bool),
}

/// What is known of one defined global.
#[derive(Debug)]
pub(crate) struct Global {
    pub(crate) mutable: bool,
    /// Initialised by `i32.const 0`.
    pub(crate) zero_i32: bool,
}

/// What is known of one function body.
#[derive(Debug, Default)]
pub(crate) struct Body {
    /// Upper bound of its frame, in words of 8 bytes.
    pub(crate) words: u64,
    /// Functions called directly.
    pub(crate) calls: BTreeSet<u32>,
    /// Types called through a table.
    pub(crate) indirect: BTreeSet<u32>,
    /// The body is `global.get N` and nothing else.
    pub(crate) returns_global: Option<u32>,
}

fn features() -> WasmFeatures {
    WasmFeatures::FLOATS
        | WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::SIMD
        | WasmFeatures::MEMORY64
        | WasmFeatures::EXTENDED_CONST
}

fn over(what: &str, found: impl std::fmt::Display, limit: impl std::fmt::Display) -> String {
    format!("{what} {found} exceeds the limit of {limit}")
}

/// Checks a module binary and collects what the rewrites need.
pub(crate) fn survey(id: &Id, wasm: &[u8]) -> Result<Survey, Refusal> {
    inspect(wasm).map_err(|reason| Refusal::Module { id: *id, reason })
}

fn inspect(wasm: &[u8]) -> Result<Survey, String> {
    if wasm.len() > MODULE_BYTES_MAX {
        return Err(over("module size", wasm.len(), MODULE_BYTES_MAX));
    }
    let mut survey = Survey::default();
    let mut validator = Validator::new_with_features(features());
    let mut allocations = wasmparser::FuncValidatorAllocations::default();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(|error| error.to_string())?;
        // Counts are checked before the validator builds tables of that size.
        count_limits(&payload)?;
        match validator.payload(&payload).map_err(|error| error.to_string())? {
            ValidPayload::Func(to_validate, body) => {
                if body.as_bytes().len() > FUNCTION_BYTES_MAX {
                    return Err(over("function body", body.as_bytes().len(), FUNCTION_BYTES_MAX));
                }
                let params = survey.types.get(to_validate.ty as usize).map_or(0, |ty| ty.params().len());
                let mut checker = to_validate.into_validator(allocations);
                let found = inspect_body(&body, &mut checker, params, &mut survey);
                allocations = checker.into_allocations();
                survey.bodies.push(found?);
            }
            _ => section(&payload, &mut survey)?,
        }
    }
    Ok(survey)
}

fn count_limits(payload: &Payload<'_>) -> Result<(), String> {
    let (what, count, limit) = match payload {
        Payload::TypeSection(reader) => ("number of types", reader.count(), TYPES_MAX),
        Payload::ImportSection(reader) => ("number of imports", reader.count(), IMPORTS_MAX),
        Payload::FunctionSection(reader) => ("number of functions", reader.count(), FUNCTIONS_MAX),
        Payload::GlobalSection(reader) => ("number of globals", reader.count(), GLOBALS_MAX),
        Payload::ExportSection(reader) => ("number of exports", reader.count(), EXPORTS_MAX),
        Payload::ElementSection(reader) => ("number of element segments", reader.count(), SEGMENTS_MAX),
        Payload::DataSection(reader) => ("number of data segments", reader.count(), SEGMENTS_MAX),
        Payload::TableSection(reader) => ("number of tables", reader.count(), 16),
        Payload::MemorySection(reader) => ("number of memories", reader.count(), 1),
        Payload::StartSection { .. } => return Err("a start function is not supported".into()),
        Payload::TagSection(_) => return Err("exceptions are not supported (legacy exception modules must be translated first)".into()),
        _ => return Ok(()),
    };
    if count > limit { Err(over(what, count, limit)) } else { Ok(()) }
}

fn section(payload: &Payload<'_>, survey: &mut Survey) -> Result<(), String> {
    let text = |error: wasmparser::BinaryReaderError| error.to_string();
    match payload {
        Payload::TypeSection(reader) => {
            for group in reader.clone() {
                for ty in group.map_err(text)?.into_types() {
                    let CompositeInnerType::Func(ty) = ty.composite_type.inner else {
                        return Err("only function types are supported".into());
                    };
                    let values = ty.params().len() + ty.results().len();
                    if values > TYPE_VALUES_MAX {
                        return Err(over("values of a type", values, TYPE_VALUES_MAX));
                    }
                    survey.types.push(ty);
                    if survey.types.len() > TYPES_MAX as usize {
                        return Err(over("number of types", survey.types.len(), TYPES_MAX));
                    }
                }
            }
        }
        Payload::ImportSection(reader) => {
            for import in reader.clone().into_imports() {
                let import = import.map_err(text)?;
                match import.ty {
                    TypeRef::Func(ty) => survey.imports.push((import.module.into(), import.name.into(), ty)),
                    other => return Err(format!("import {}.{} is not a function but {other:?}", import.module, import.name)),
                }
            }
            if survey.imports.len() > IMPORTS_MAX as usize {
                return Err(over("number of imports", survey.imports.len(), IMPORTS_MAX));
            }
        }
        Payload::FunctionSection(reader) => {
            for ty in reader.clone() {
                survey.functions.push(ty.map_err(text)?);
            }
        }
        Payload::TableSection(reader) => {
            let mut entries = 0u64;
            for table in reader.clone() {
                let table = table.map_err(text)?;
                if table.ty.element_type != wasmparser::RefType::FUNCREF {
                    return Err("only tables of functions are supported".into());
                }
                entries = entries.saturating_add(table.ty.initial);
            }
            if entries > TABLE_ENTRIES_MAX {
                return Err(over("table entries", entries, TABLE_ENTRIES_MAX));
            }
        }
        Payload::MemorySection(reader) => {
            for memory in reader.clone() {
                let memory = memory.map_err(text)?;
                let bytes = memory.initial.saturating_mul(WASM_PAGE as u64);
                if bytes > MEMORY_BYTES_INITIAL_MAX as u64 {
                    return Err(over("initial memory of", format!("{bytes} bytes"), MEMORY_BYTES_INITIAL_MAX));
                }
                survey.has_memory = true;
                survey.memory64 = memory.memory64;
                let whole = if memory.memory64 { u64::MAX } else { 1 << 32 };
                survey.memory_bytes_max = memory.maximum.map_or(whole, |pages| pages.saturating_mul(WASM_PAGE as u64));
            }
        }
        Payload::GlobalSection(reader) => {
            survey.sections.0 = true;
            for global in reader.clone() {
                let global = global.map_err(text)?;
                if global.ty.mutable && matches!(global.ty.content_type, ValType::Ref(_)) {
                    return Err("a mutable global that holds a reference is not supported".into());
                }
                let mut ops = global.init_expr.get_operators_reader();
                let zero_i32 = matches!(ops.read().map_err(text)?, Operator::I32Const { value: 0 });
                survey.globals.push(Global { mutable: global.ty.mutable, zero_i32 });
            }
        }
        Payload::ExportSection(reader) => {
            survey.sections.1 = true;
            for export in reader.clone() {
                let export = export.map_err(text)?;
                if export.name.starts_with(OWN_PREFIX) {
                    return Err(format!("the export `{}` lies in the name space of the host", export.name));
                }
                if export.kind == ExternalKind::Func {
                    survey.exports.push((export.name.into(), export.index));
                }
            }
        }
        Payload::ElementSection(reader) => {
            let mut total = 0u64;
            for element in reader.clone() {
                match element.map_err(text)?.items {
                    ElementItems::Functions(items) => {
                        total += u64::from(items.count());
                        for item in items {
                            survey.table_functions.insert(item.map_err(text)?);
                        }
                    }
                    ElementItems::Expressions(_, items) => {
                        total += u64::from(items.count());
                        for item in items {
                            for op in item.map_err(text)?.get_operators_reader() {
                                if let Operator::RefFunc { function_index } = op.map_err(text)? {
                                    survey.table_functions.insert(function_index);
                                }
                            }
                        }
                    }
                }
                if total > TABLE_ENTRIES_MAX {
                    return Err(over("entries of element segments", total, TABLE_ENTRIES_MAX));
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn inspect_body(
    body: &wasmparser::FunctionBody<'_>,
    checker: &mut wasmparser::FuncValidator<wasmparser::ValidatorResources>,
    params: usize,
    survey: &mut Survey,
) -> Result<Body, String> {
    let text = |error: wasmparser::BinaryReaderError| error.to_string();
    let mut found = Body::default();
    let mut locals = params as u64;
    let mut wide = false;
    let mut reader = body.get_binary_reader();
    let mut declared = body.get_locals_reader().map_err(text)?;
    for _ in 0..declared.get_count() {
        let (count, ty) = declared.read().map_err(text)?;
        locals += u64::from(count);
        wide |= ty == ValType::V128;
        if locals > u64::from(LOCALS_MAX) {
            return Err(over("locals of a function", locals, LOCALS_MAX));
        }
    }
    checker.read_locals(&mut reader).map_err(text)?;
    let mut ops = wasmparser::OperatorsReader::new(reader);
    let (mut height, mut count) = (0, 0u64);
    while !ops.eof() {
        let offset = ops.original_position();
        let op = ops.read().map_err(text)?;
        match &op {
            Operator::Call { function_index } => {
                found.calls.insert(*function_index);
            }
            Operator::CallIndirect { type_index, .. } => {
                found.indirect.insert(*type_index);
            }
            Operator::RefFunc { function_index } => {
                survey.table_functions.insert(*function_index);
            }
            Operator::BrTable { targets } if targets.len() > BR_TABLE_MAX => {
                return Err(over("targets of a br_table", targets.len(), BR_TABLE_MAX));
            }
            Operator::TableSet { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. }
            | Operator::ElemDrop { .. }
            | Operator::DataDrop { .. } => survey.mutates_tables = true,
            Operator::GlobalGet { global_index } if count == 0 => found.returns_global = Some(*global_index),
            Operator::End if count == 1 => {}
            _ if count <= 1 => found.returns_global = None,
            _ => {}
        }
        if count > 1 {
            found.returns_global = None;
        }
        count += 1;
        checker.op(offset, &op).map_err(text)?;
        height = height.max(checker.operand_stack_height());
        let nesting = checker.control_stack_height() as usize;
        if nesting > NESTING_MAX {
            return Err(over("nesting of blocks", nesting, NESTING_MAX));
        }
    }
    if checker.control_stack_height() != 0 {
        return Err("a function body has no end".into());
    }
    // A value takes one word, or two where vectors are about; 16 words for the return address, the frame pointer and saved registers.
    let values = locals + u64::from(height);
    found.words = 16 + if wide { 2 * values } else { values };
    Ok(found)
}

#[cfg(test)]
mod tests;
