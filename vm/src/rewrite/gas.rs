//! The gas schedule of the two `-metering` formats (`vm-abi.md`, section 9).

use wasmparser::Operator;

/// Cost of the two operations that the reference inserts per segment, `const` and `call`: we count into a global instead, and charge the
/// same.
pub(super) const SEGMENT_OVERHEAD: i64 = 91;

/// True where a segment ends with this operation.
pub(super) fn closes(op: &Operator<'_>) -> bool {
    use Operator::*;
    matches!(op, MemoryGrow { .. } | End | Br { .. } | BrIf { .. } | BrTable { .. } | If { .. } | Else | Return | Loop { .. })
}

/// Gas of one operation. Names are compared without their type prefix, so that float `add` costs what integer `add` does, and what is
/// not listed is free.
pub(super) fn cost(op: &Operator<'_>) -> i64 {
    use Operator::*;
    match op {
        LocalGet { .. } | LocalSet { .. } | LocalTee { .. } | GlobalGet { .. } | GlobalSet { .. } | Drop | Select | BrTable { .. } => 120,
        I32Load { .. } | I64Load { .. } | F32Load { .. } | F64Load { .. } => 120,
        I32Load8S { .. } | I32Load8U { .. } | I32Load16S { .. } | I32Load16U { .. } => 120,
        I64Load8S { .. } | I64Load8U { .. } | I64Load16S { .. } | I64Load16U { .. } | I64Load32S { .. } | I64Load32U { .. } => 120,
        I32Store { .. } | I64Store { .. } | F32Store { .. } | F64Store { .. } => 120,
        I32Store8 { .. } | I32Store16 { .. } | I64Store8 { .. } | I64Store16 { .. } | I64Store32 { .. } => 120,
        I32Const { .. } | I64Const { .. } | F32Const { .. } | F64Const { .. } => 1,
        Nop | Block { .. } | Loop { .. } | If { .. } | Unreachable => 1,
        Br { .. } | BrIf { .. } | Return | Else | Call { .. } | I32Rotl | I32Rotr | I64Rotl | I64Rotr => 90,
        CallIndirect { .. } | MemoryGrow { .. } => 10_000,
        MemorySize { .. } => 100,
        I32Add | I32Sub | I32Mul | I32And | I32Or | I32Xor | I32Eq | I32Ne | I32Eqz => 45,
        I64Add | I64Sub | I64Mul | I64And | I64Or | I64Xor | I64Eq | I64Ne | I64Eqz => 45,
        F32Add | F32Sub | F32Mul | F32Eq | F32Ne | F64Add | F64Sub | F64Mul | F64Eq | F64Ne => 45,
        I32LtS | I32LtU | I32GtS | I32GtU | I32LeS | I32LeU | I32GeS | I32GeU | I32Clz | I32Ctz | I32Popcnt => 45,
        I64LtS | I64LtU | I64GtS | I64GtU | I64LeS | I64LeU | I64GeS | I64GeU | I64Clz | I64Ctz | I64Popcnt => 45,
        I32Shl | I32ShrS | I32ShrU | I64Shl | I64ShrS | I64ShrU => 67,
        I32DivS | I32DivU | I32RemS | I32RemU | I64DivS | I64DivU | I64RemS | I64RemU => 36_000,
        _ => 0,
    }
}
