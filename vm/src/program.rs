//! A compiled module, ready to be instantiated many times.

use std::sync::Arc;

use ao_types::Id;
use wasmtime::{InstancePre, Linker, Module};

use crate::engine::Clocked;
use crate::formats::Format;
use crate::guest::Host;
use crate::limits::{MEMORY_BYTES_MAX, WASM_PAGE};
use crate::{Error, Refusal};

/// What a state belongs to: it can only be restored under the same module and format (`vm-abi.md`, section 10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Module item.
    pub(crate) module: Id,
    /// Name of its format.
    pub(crate) format: String,
}

/// A compiled and linked module.
pub(crate) struct Program {
    identity: Identity,
    pub(crate) clock: Arc<Clocked>,
    pub(crate) module: InstancePre<Host>,
    memory_bytes_max: usize,
}

impl Program {
    /// Links a compiled module.
    pub(crate) fn link(identity: Identity, clock: Arc<Clocked>, format: &dyn Format, module: &Module) -> Result<Self, Error> {
        let refused = |error: wasmtime::Error| Refusal::Module { id: identity.module, reason: format!("{error:#}") };
        let mut linker = Linker::new(&clock.engine);
        // First a trap for every import, then what the format knows over it.
        linker.allow_shadowing(true);
        for import in module.imports() {
            let (space, name) = (import.module(), import.name());
            if let wasmtime::ExternType::Func(ty) = import.ty() {
                let text = format!("import {space}.{name} is not implemented");
                linker.func_new(space, name, ty, move |_, _, _| Err(crate::guest::Halt::fault(text.clone()))).map_err(refused)?;
            }
        }
        format.link(&mut linker, module).map_err(refused)?;
        let declared = module.exports().find_map(|export| match (export.name(), export.ty()) {
            ("ao:memory", wasmtime::ExternType::Memory(ty)) => Some(ty.maximum().unwrap_or(u64::MAX).saturating_mul(WASM_PAGE as u64)),
            _ => None,
        });
        let Some(declared) = declared else {
            return Err(Refusal::Module { id: identity.module, reason: "it has no memory".into() }.into());
        };
        let memory_bytes_max = usize::try_from(declared).unwrap_or(usize::MAX).min(MEMORY_BYTES_MAX);
        let module = linker.instantiate_pre(module).map_err(refused)?;
        Ok(Self { identity, clock, module, memory_bytes_max })
    }

    /// What states of this program belong to.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Bytes a process's memory can grow to: the module's own maximum or the machine's, whichever is less.
    pub(crate) fn memory_bytes_max(&self) -> usize {
        self.memory_bytes_max
    }

    /// A refusal of this module.
    pub(crate) fn refusal(&self, reason: String) -> Refusal {
        Refusal::Module { id: self.identity.module, reason }
    }
}
