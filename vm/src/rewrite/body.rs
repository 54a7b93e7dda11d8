//! One function body: guarded by the depth counter, charged for gas, freed of asyncify.

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{BlockType, Function, Instruction};
use wasmparser::Operator;

use super::{Gas, Plan, gas};
use crate::limits::STACK_WORDS_MAX;

/// Writes body `index` of the module anew.
pub(super) fn rewrite(plan: &mut Plan<'_>, index: usize, body: &wasmparser::FunctionBody<'_>) -> Result<Function, reencode::Error> {
    let mut out = plan.new_function_with_parsed_locals(body)?;
    let weight = plan.depth.weight(index);
    if let Some(words) = weight {
        enter(plan, index, words, &mut out)?;
    }
    let mut reader = body.get_operators_reader()?;
    let mut segment = Vec::new();
    let mut sum = 0;
    // Labels between here and the block that wraps the body.
    let mut nesting = 0u32;
    while !reader.eof() {
        let op = reader.read()?;
        let last = reader.eof();
        if plan.options.gas == Gas::Inserted {
            sum += gas::cost(&op);
        }
        let closes = gas::closes(&op);
        match &op {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => nesting += 1,
            Operator::End => nesting = nesting.saturating_sub(1),
            _ => {}
        }
        translate(plan, op, weight.is_some().then_some(nesting), &mut segment)?;
        if closes || last {
            if sum != 0 {
                charge_constant(plan, sum + gas::SEGMENT_OVERHEAD, &mut out);
                sum = 0;
            }
            if last && let Some(words) = weight {
                // The last operation is the `end` of the function: close the wrapping block, then leave.
                segment.pop();
                segment.push(Instruction::End);
                leave(plan, words, &mut segment);
                segment.push(Instruction::End);
            }
            for instruction in segment.drain(..) {
                out.instruction(&instruction);
            }
        }
    }
    Ok(out)
}

fn translate<'a>(
    plan: &mut Plan<'_>,
    op: Operator<'a>,
    wrapped_at: Option<u32>,
    out: &mut Vec<Instruction<'a>>,
) -> Result<(), reencode::Error> {
    match op {
        Operator::Return if wrapped_at.is_some() => out.push(Instruction::Br(wrapped_at.unwrap_or(0))),
        Operator::GlobalGet { global_index } if Some(global_index) == plan.asyncify => out.push(Instruction::I32Const(0)),
        Operator::GlobalSet { global_index } if Some(global_index) == plan.asyncify => out.push(Instruction::Drop),
        Operator::Call { function_index } if Some(function_index) == plan.usegas => charge_operand(plan, out),
        op => out.push(plan.instruction(op)?),
    }
    Ok(())
}

fn enter(plan: &mut Plan<'_>, index: usize, words: i32, out: &mut Function) -> Result<(), reencode::Error> {
    let global = plan.depth_global;
    let ty = plan.survey.functions[index];
    let results = plan.survey.types[ty as usize].results();
    let block = match results {
        [] => BlockType::Empty,
        [one] => BlockType::Result(plan.val_type(*one)?),
        _ => {
            let at = plan.wrap_types.iter().position(|wrapped| *wrapped == ty).unwrap_or(0);
            BlockType::FunctionType((plan.survey.types.len() + at) as u32)
        }
    };
    for instruction in [
        Instruction::GlobalGet(global),
        Instruction::I32Const(words),
        Instruction::I32Add,
        Instruction::GlobalSet(global),
        Instruction::GlobalGet(global),
        Instruction::I32Const(STACK_WORDS_MAX as i32),
        Instruction::I32GtU,
        Instruction::If(BlockType::Empty),
        Instruction::I32Const(-1),
        Instruction::GlobalSet(global),
        Instruction::Unreachable,
        Instruction::End,
        Instruction::Block(block),
    ] {
        out.instruction(&instruction);
    }
    Ok(())
}

fn leave(plan: &Plan<'_>, words: i32, out: &mut Vec<Instruction<'_>>) {
    let global = plan.depth_global;
    out.extend([Instruction::GlobalGet(global), Instruction::I32Const(words), Instruction::I32Sub, Instruction::GlobalSet(global)]);
}

fn out_of_gas(global: u32) -> [Instruction<'static>; 5] {
    [
        Instruction::If(BlockType::Empty),
        Instruction::I64Const(-1),
        Instruction::GlobalSet(global),
        Instruction::Unreachable,
        Instruction::End,
    ]
}

fn charge_constant(plan: &Plan<'_>, amount: i64, out: &mut Function) {
    let global = plan.gas_global;
    let check = [Instruction::GlobalGet(global), Instruction::I64Const(amount), Instruction::I64LtU];
    let take = [Instruction::GlobalGet(global), Instruction::I64Const(amount), Instruction::I64Sub, Instruction::GlobalSet(global)];
    for instruction in check.into_iter().chain(out_of_gas(global)).chain(take) {
        out.instruction(&instruction);
    }
}

/// Replaces `call metering.usegas`: the amount is on the stack. A negative amount, which no honest module has, counts as a huge one.
fn charge_operand(plan: &Plan<'_>, out: &mut Vec<Instruction<'_>>) {
    let (global, scratch) = (plan.gas_global, plan.scratch_global);
    let ty = plan.usegas.and_then(|import| plan.survey.imports.get(import as usize)).map_or(0, |(_, _, ty)| *ty);
    if plan.survey.types[ty as usize].params() == [wasmparser::ValType::I32] {
        out.push(Instruction::I64ExtendI32U);
    }
    out.extend([Instruction::GlobalSet(scratch), Instruction::GlobalGet(global), Instruction::GlobalGet(scratch), Instruction::I64LtU]);
    out.extend(out_of_gas(global));
    out.extend([Instruction::GlobalGet(global), Instruction::GlobalGet(scratch), Instruction::I64Sub, Instruction::GlobalSet(global)]);
}
