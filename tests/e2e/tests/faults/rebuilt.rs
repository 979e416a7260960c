//! The module that is handed out, with something built into it that no module handed out has: functions that stand in the
//! place of others.

use std::convert::Infallible;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use graphwarden_stand::{Ask, Site};
use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    CodeSection, ConstExpr, Function, FunctionSection, GlobalSection, GlobalType, Instruction, Module,
    ValType,
};
use wasmparser::{CodeSectionReader, FunctionSectionReader, GlobalSectionReader, Parser, Payload, TypeRef};

/// What the host calls with a request's headers: of the context, how many there are, and whether they are all.
pub(crate) const TAKES_HEADERS: &str = "proxy_on_request_headers";

/// The request with so many headers more: by how many it has, functions that are built in tell it from others.
pub(crate) fn with_headers(ask: Ask, count: i32) -> Ask {
    (0..count).fold(ask, |ask, at| ask.header(&format!("x-{at}"), "1"))
}

/// A function of the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Original {
    /// Which it is.
    pub(crate) index: u32,
    ty: u32,
}

impl Original {
    /// These instructions, and then the function itself with the same arguments, of which it has so many.
    pub(crate) fn after<'a>(
        self,
        first: impl IntoIterator<Item = Instruction<'a>>,
        arguments: u32,
    ) -> Vec<Instruction<'a>> {
        let itself = [Instruction::Call(self.index), Instruction::End];
        first.into_iter().chain((0..arguments).map(Instruction::LocalGet)).chain(itself).collect()
    }
}

/// The module, read.
#[derive(Debug)]
pub(crate) struct Shipped {
    bytes: Vec<u8>,
    /// The functions that it imports, with their names.
    imported: Vec<(String, u32)>,
    /// The types of its own functions.
    types: Vec<u32>,
    exported: Vec<(String, u32)>,
    globals: u32,
}

impl Shipped {
    /// Reads the module that is handed out.
    pub(crate) fn read(site: &Site) -> Result<Self> {
        let bytes = fs::read(site.tools().module()?)?;
        let (mut imported, mut types, mut exported, mut globals) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for payload in Parser::new(0).parse_all(&bytes) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        if let TypeRef::Func(ty) = import.ty {
                            imported.push((import.name.to_owned(), ty));
                        }
                    }
                }
                Payload::FunctionSection(functions) => {
                    types = functions.into_iter().collect::<Result<_, _>>()?
                }
                Payload::GlobalSection(section) => globals = section.count(),
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export?;
                        exported.push((export.name.to_owned(), export.index));
                    }
                }
                _ => {}
            }
        }
        Ok(Self { bytes, imported, types, exported, globals })
    }

    /// The function that it exports under this name.
    pub(crate) fn export(&self, name: &str) -> Result<Original> {
        let export = self.exported.iter().find(|(known, _)| known == name);
        let index = export.with_context(|| format!("nothing is exported as {name}"))?.1;
        let own =
            usize::try_from(index)?.checked_sub(self.imported.len()).context("an import is exported")?;
        Ok(Original { index, ty: *self.types.get(own).context("no type")? })
    }

    /// The function that it imports under this name.
    pub(crate) fn import(&self, name: &str) -> Result<Original> {
        let import = (0..).zip(&self.imported).find(|(_, (known, _))| known == name);
        let (index, (_, ty)) = import.with_context(|| format!("{name} is not imported"))?;
        Ok(Original { index, ty: *ty })
    }

    /// Where the global stands that is added, a whole number of 64 bits that begins at zero.
    pub(crate) fn added_global(&self) -> u32 {
        self.globals
    }

    /// Writes it with these functions in the places of others, and says where.
    pub(crate) fn with(
        &self,
        site: &Site,
        name: &str,
        instead: &[(Original, &[Instruction<'_>])],
    ) -> Result<PathBuf> {
        let first = u32::try_from(self.imported.len() + self.types.len())?;
        let mut builder = Builder { instead, first };
        let mut module = Module::new();
        builder.parse_core_module(&mut module, Parser::new(0), &self.bytes)?;
        site.write(name, module.finish())
    }
}

/// Copies the module, and adds to it.
struct Builder<'a> {
    instead: &'a [(Original, &'a [Instruction<'a>])],
    /// The index of the first function that is added.
    first: u32,
}

impl Reencode for Builder<'_> {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error<Infallible>> {
        let added = (self.first..).zip(self.instead).find(|(_, (original, _))| original.index == function);
        Ok(added.map_or(function, |(index, _)| index))
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_function_section(self, functions, section)?;
        for (original, _) in self.instead {
            functions.function(original.ty);
        }
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: GlobalSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_global_section(self, globals, section)?;
        let ty = GlobalType { val_type: ValType::I64, mutable: true, shared: false };
        globals.global(ty, &ConstExpr::i64_const(0));
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_code_section(self, code, section)?;
        for (_, instructions) in self.instead {
            let mut function = Function::new([]);
            for instruction in *instructions {
                function.instruction(instruction);
            }
            code.function(&function);
        }
        Ok(())
    }
}
