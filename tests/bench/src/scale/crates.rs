//! What the module is made of: bytes of code by crate, through the names in a build that was not stripped.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use wasmparser::{KnownCustom, Name, Parser, Payload, TypeRef};

use crate::results::{Row, Sheet};

/// Crates with less than so much of the module are added up.
const SMALLEST: f64 = 0.004;

/// Reads the module, whose rows are in falling order.
pub(super) fn measure(module: &Path, sheet: &mut Sheet) -> Result<()> {
    let bytes = fs::read(module)
        .with_context(|| format!("cannot read {}; `make crates` builds it", module.display()))?;
    let parts = parts(&bytes)?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let kilobytes = |size: usize| size as f64 / 1024.0;
    let whole = kilobytes(parts.values().sum());
    let mut parts: Vec<(String, f64)> =
        parts.into_iter().map(|(name, size)| (name, kilobytes(size))).collect();
    parts.sort_by(|one, other| other.1.total_cmp(&one.1));
    let (large, small): (Vec<_>, Vec<_>) = parts.into_iter().partition(|(_, size)| *size >= whole * SMALLEST);
    for (name, size) in large {
        sheet.add(Row::once(&name, "module", "size", "KiB", size)?);
    }
    let rest: f64 = small.iter().map(|(_, size)| size).sum();
    sheet.add(Row::once(&format!("{} smaller crates", small.len()), "module", "size", "KiB", rest)?);
    sheet.add(Row::once("all of it", "module", "size", "KiB", whole)?);
    Ok(())
}

/// Bytes by crate, and of what is no code.
fn parts(module: &[u8]) -> Result<BTreeMap<String, usize>> {
    let mut sizes = Vec::new();
    let mut imported = 0;
    let mut names = BTreeMap::new();
    let mut parts: BTreeMap<String, usize> = BTreeMap::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    imported += u32::from(matches!(import?.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)));
                }
            }
            Payload::CodeSectionEntry(body) => sizes.push(length(body.range())?),
            Payload::DataSection(data) => {
                *parts.entry("(data: texts and tables)".to_owned()).or_default() += length(data.range())?;
            }
            Payload::ElementSection(elements) => {
                *parts.entry("(table of functions)".to_owned()).or_default() += length(elements.range())?;
            }
            Payload::CustomSection(custom) => {
                let KnownCustom::Name(section) = custom.as_known() else { continue };
                for part in section {
                    let Name::Function(functions) = part? else { continue };
                    for function in functions {
                        let function = function?;
                        names.insert(function.index, function.name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    ensure!(!names.is_empty(), "the module has no names; it was stripped");
    for (index, size) in (imported..).zip(sizes) {
        let name = names.get(&index).map_or_else(|| "(no name)".to_owned(), |name| crate_of(name));
        *parts.entry(name).or_default() += size;
    }
    Ok(parts)
}

/// How many bytes.
fn length(range: std::ops::Range<u64>) -> Result<usize> {
    Ok(usize::try_from(range.end - range.start)?)
}

/// The crate that a function was written in: that of its path, of the type that it belongs to, or of the trait where
/// the type is nobody's.
fn crate_of(mangled: &str) -> String {
    let name = format!("{:#}", rustc_demangle::demangle(mangled));
    let mut rest = name.as_str();
    loop {
        let begin = rest.trim_start_matches(['<', '&', '*', '[', '(', ' ']);
        let word =
            begin.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap_or_default();
        let after = begin.get(word.len()..).unwrap_or_default();
        if after.starts_with("::") {
            return word.to_owned();
        }
        if word.is_empty() || after.is_empty() {
            // Not of Rust's: the C library and the compiler's own.
            return "(no crate)".to_owned();
        }
        rest = after.trim_start_matches([']', '>', ')', ';', ',']);
        if rest == begin {
            return "(no crate)".to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_belongs_to_the_crate_that_it_was_written_in() {
        for (name, wanted) in [
            ("_ZN10serde_json2de10from_slice17h0123456789abcdefE", "serde_json"),
            ("_ZN53_$LT$core..fmt..Error$u20$as$u20$core..fmt..Debug$GT$3fmt17h0123456789abcdefE", "core"),
            ("_RNvCs1234_7mycrate3foo", "mycrate"),
            ("<&mut alloc::vec::Vec<T> as core::fmt::Debug>::fmt", "alloc"),
            ("<u64 as cel::objects::Into>::into", "cel"),
            ("<[T] as policies::Look>::look", "policies"),
            ("memcpy", "(no crate)"),
        ] {
            assert_eq!(crate_of(name), wanted, "{name}");
        }
    }
}
