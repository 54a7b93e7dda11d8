//! What the host changes in a module between admission and compilation.
//!
//! All in one pass, each part in a file: the call-depth counter ([`depth`]), gas ([`gas`]), folding asyncify away. The module's identity
//! stays that of the original bytes. Indices never shift: whatever is added comes after what was there.
//!
//! | export added | meaning |
//! |---|---|
//! | `ao:memory` | the memory, whatever its own name |
//! | `ao:gN` | mutable global N: state outside memory, which the host puts back before each call |
//! | `ao:depth` | i32, stack words in use; `-1` after the counter tripped |
//! | `ao:gas` | i64, gas left; `-1` after it ran out |
//! | `ao:fresh` | present where tables can change: the host then takes a fresh instance for each call |

mod body;
mod depth;
mod gas;

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{ConstExpr, ExportKind, ExportSection, GlobalSection, GlobalType, Module, SectionId, ValType};

use crate::admission::Survey;

/// Version of the rewrites: part of the key of compiled modules (`faults.md` F31).
pub(crate) const VERSION: u32 = 1;

/// Where gas comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gas {
    /// Calls of `metering.usegas` that are in the binary already, if any.
    Calls,
    /// The host inserts the counting, as the reference does for the two `-metering` formats.
    Inserted,
}

/// What to do to a module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) gas: Gas,
    /// Fold asyncify away where the module has it in the known shape. Never for a host that suspends a guest.
    pub(crate) fold_asyncify: bool,
    /// Count call depth. Off only for a guest of our own that bounds its recursion itself, far below the native stack: the counter is an
    /// upper bound over all chains of calls, and would end such a guest's recursion long before its own limit.
    pub(crate) count_depth: bool,
}

/// Indices of what is added, and what each body needs.
struct Plan<'a> {
    survey: &'a Survey,
    options: Options,
    depth: depth::Depth,
    /// Global that holds the asyncify state.
    asyncify: Option<u32>,
    usegas: Option<u32>,
    depth_global: u32,
    gas_global: u32,
    scratch_global: u32,
    /// First type index after the module's own: `() -> results` for wrapped functions with several results.
    wrap_types: Vec<u32>,
    globals_done: bool,
    exports_done: bool,
    function: usize,
}

/// Rewrites an admitted module.
pub(crate) fn rewrite(wasm: &[u8], survey: &Survey, options: Options) -> Result<Vec<u8>, String> {
    let depth = if options.count_depth { depth::Depth::of(survey) } else { depth::Depth::none(survey) };
    let first = survey.globals.len() as u32;
    let counts_gas = |ty: u32| {
        let ty = &survey.types[ty as usize];
        ty.results().is_empty() && matches!(ty.params(), [wasmparser::ValType::I32 | wasmparser::ValType::I64])
    };
    let usegas = survey.imports.iter().position(|(module, name, ty)| module == "metering" && name == "usegas" && counts_gas(*ty));
    let usegas = usegas.map(|at| at as u32);
    if usegas.is_some() && options.gas == Gas::Inserted {
        return Err("the module imports metering.usegas, which its format says the host inserts".into());
    }
    let wrap_types = depth
        .guarded()
        .map(|(function, _)| survey.functions[function])
        .filter(|ty| survey.types[*ty as usize].results().len() > 1)
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    let mut plan = Plan {
        survey,
        options,
        depth,
        asyncify: options.fold_asyncify.then(|| asyncify_state(survey)).flatten(),
        usegas,
        depth_global: first,
        gas_global: first + 1,
        scratch_global: first + 2,
        wrap_types,
        globals_done: false,
        exports_done: false,
        function: 0,
    };
    let mut module = Module::new();
    plan.parse_core_module(&mut module, wasmparser::Parser::new(0), wasm).map_err(|error| error.to_string())?;
    Ok(module.finish())
}

/// The global that `asyncify_get_state` returns, if everything about it has the one known shape (`vm-abi.md`, section 6.3).
fn asyncify_state(survey: &Survey) -> Option<u32> {
    let (_, function) = survey.exports.iter().find(|(name, _)| name == "asyncify_get_state")?;
    let body = survey.bodies.get((*function as usize).checked_sub(survey.imports.len())?)?;
    let global = body.returns_global?;
    let shape = survey.globals.get(global as usize)?;
    (shape.mutable && shape.zero_i32).then_some(global)
}

impl Plan<'_> {
    fn add_globals(&mut self, globals: &mut GlobalSection) {
        let mutable = |val_type| GlobalType { val_type, mutable: true, shared: false };
        globals.global(mutable(ValType::I32), &ConstExpr::i32_const(0));
        globals.global(mutable(ValType::I64), &ConstExpr::i64_const(0));
        globals.global(mutable(ValType::I64), &ConstExpr::i64_const(0));
        self.globals_done = true;
    }

    fn add_exports(&mut self, exports: &mut ExportSection) {
        if self.survey.has_memory {
            exports.export("ao:memory", ExportKind::Memory, 0);
        }
        for (index, global) in self.survey.globals.iter().enumerate().filter(|(_, global)| global.mutable) {
            debug_assert!(global.mutable);
            exports.export(&format!("ao:g{index}"), ExportKind::Global, index as u32);
        }
        exports.export("ao:depth", ExportKind::Global, self.depth_global);
        exports.export("ao:gas", ExportKind::Global, self.gas_global);
        if self.survey.mutates_tables {
            exports.export("ao:fresh", ExportKind::Global, self.depth_global);
        }
        self.exports_done = true;
    }
}

impl Reencode for Plan<'_> {
    type Error = std::convert::Infallible;

    fn parse_type_section(
        &mut self,
        types: &mut wasm_encoder::TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        reencode::utils::parse_type_section(self, types, section)?;
        for ty in self.wrap_types.clone() {
            let results = self.survey.types[ty as usize].results().to_vec();
            let results = results.into_iter().map(|ty| self.val_type(ty)).collect::<Result<Vec<_>, _>>()?;
            types.ty().function([], results);
        }
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: wasmparser::GlobalSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        reencode::utils::parse_global_section(self, globals, section)?;
        self.add_globals(globals);
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        reencode::utils::parse_export_section(self, exports, section)?;
        self.add_exports(exports);
        Ok(())
    }

    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        _: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Result<(), reencode::Error> {
        let next = before.map_or(u8::MAX, order);
        if !self.globals_done && !self.survey.sections.0 && next > order(SectionId::Global) {
            let mut globals = GlobalSection::new();
            self.add_globals(&mut globals);
            module.section(&globals);
        }
        if !self.exports_done && !self.survey.sections.1 && next > order(SectionId::Export) {
            let mut exports = ExportSection::new();
            self.add_exports(&mut exports);
            module.section(&exports);
        }
        Ok(())
    }

    fn parse_custom_section(&mut self, _: &mut Module, _: wasmparser::CustomSectionReader<'_>) -> Result<(), reencode::Error> {
        Ok(()) // Names and debug information: nothing that runs.
    }

    fn parse_function_body(
        &mut self,
        code: &mut wasm_encoder::CodeSection,
        function: wasmparser::FunctionBody<'_>,
    ) -> Result<(), reencode::Error> {
        let index = self.function;
        self.function += 1;
        let body = body::rewrite(self, index, &function)?;
        code.function(&body);
        Ok(())
    }
}

/// Position of a section in a binary, which is not its number (the data count comes before the code).
fn order(section: SectionId) -> u8 {
    match section {
        SectionId::Custom => 0,
        SectionId::Type => 1,
        SectionId::Import => 2,
        SectionId::Function => 3,
        SectionId::Table => 4,
        SectionId::Memory => 5,
        SectionId::Tag => 6,
        SectionId::Global => 7,
        SectionId::Export => 8,
        SectionId::Start => 9,
        SectionId::Element => 10,
        SectionId::DataCount => 11,
        SectionId::Code => 12,
        SectionId::Data => 13,
    }
}

#[cfg(test)]
mod tests;
