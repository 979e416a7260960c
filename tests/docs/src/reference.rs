//! The policy reference, written by the types: the fields of the raw configuration in `policies`, with their doc
//! comments, walked from `Document` on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Context as _;
use syn::{Attribute, Expr, Fields, GenericArgument, Item, Lit, Meta, PathArguments, Type};

use crate::pages::root;

/// The files that hold the raw configuration, each with the name by which others call its module.
const FILES: [(&str, &str); 9] = [
    ("policy", "policies/src/policy/document.rs"),
    ("policy", "policies/src/policy/cors.rs"),
    ("identity", "policies/src/identity/config.rs"),
    ("operation", "policies/src/operation/config.rs"),
    ("operation", "policies/src/operation/lookup.rs"),
    ("access", "policies/src/access/config.rs"),
    ("access", "policies/src/access/demand.rs"),
    ("access", "policies/src/access/ownership.rs"),
    ("masking", "policies/src/masking/config.rs"),
];

/// The page's beginning.
const HEAD: &str = "# Every field of the policy

<!-- Written by `cargo run -p graphwarden-docs > docs/policy-fields.md` from the types; a test compares. -->

[The policy](policy.md) explains and shows examples; this page lists every field, as the code has it. A field that is not
listed is refused. Spans of time are written `500ms`, `30s`, `10m`, `1h`; sizes `65536`, `64KiB`, `4MiB`; a secret is
`{ env: NAME }`.
";

/// A type of the raw configuration.
struct Raw {
    module: &'static str,
    docs: String,
    shape: Shape,
}

enum Shape {
    Fields(Vec<Field>),
    /// What may be written, each with its meaning and the section inside.
    Choice(Vec<Choice>),
}

struct Choice {
    written: String,
    docs: String,
    inside: Option<(String, Kind)>,
}

struct Field {
    name: String,
    docs: String,
    required: bool,
    kind: Kind,
}

/// What a field holds: words for it, and the type inside that has a section of its own.
struct Kind {
    words: String,
    inner: Option<(Option<String>, String)>,
}

/// The page.
pub fn page() -> anyhow::Result<String> {
    let types = read()?;
    let mut page = HEAD.to_owned();
    let mut written = BTreeSet::new();
    let top = find(&types, "policy", None, "Document").context("no type Document")?;
    section(&types, top, "", &mut written, &mut page)?;
    Ok(page)
}

fn read() -> anyhow::Result<BTreeMap<(usize, String), Raw>> {
    let mut types = BTreeMap::new();
    for (place, (module, path)) in FILES.into_iter().enumerate() {
        let text = std::fs::read_to_string(root().join(path)).with_context(|| path.to_owned())?;
        for item in syn::parse_file(&text).with_context(|| path.to_owned())?.items {
            let (name, raw) = match item {
                Item::Struct(item) => {
                    let all_default = serde_word(&item.attrs, "default").is_some();
                    let Fields::Named(fields) = item.fields else { continue };
                    let fields = fields
                        .named
                        .iter()
                        .filter_map(|field| {
                            let name = field.ident.as_ref()?.to_string();
                            let optional = matches!(&field.ty, Type::Path(path)
                                if path.path.segments.last().is_some_and(|last| last.ident == "Option"));
                            let required =
                                !(optional || all_default || serde_word(&field.attrs, "default").is_some());
                            Some(Field { name, docs: docs(&field.attrs), required, kind: kind(&field.ty) })
                        })
                        .collect();
                    (item.ident, Raw { module, docs: docs(&item.attrs), shape: Shape::Fields(fields) })
                }
                Item::Enum(item) => {
                    let case = serde_word(&item.attrs, "rename_all").unwrap_or_default();
                    let variants = item
                        .variants
                        .iter()
                        .map(|variant| {
                            let name = renamed(&variant.ident.to_string(), &case);
                            let named: Vec<String> = variant
                                .fields
                                .iter()
                                .filter_map(|field| field.ident.as_ref().map(ToString::to_string))
                                .collect();
                            let inside = variant
                                .fields
                                .iter()
                                .filter(|field| field.ident.is_none())
                                .map(|field| kind(&field.ty))
                                .find(|kind| kind.inner.is_some())
                                .map(|kind| (name.clone(), kind));
                            let written = match (named.is_empty(), &inside) {
                                (true, None) => format!("`{name}`"),
                                (true, Some(_)) => format!("`{{ {name}: … }}`"),
                                (false, _) => format!("`{{ {name}: {{ {} }} }}`", named.join(", ")),
                            };
                            Choice { written, docs: docs(&variant.attrs), inside }
                        })
                        .collect();
                    (item.ident, Raw { module, docs: docs(&item.attrs), shape: Shape::Choice(variants) })
                }
                _ => continue,
            };
            types.insert((place, name.to_string()), raw);
        }
    }
    Ok(types)
}

/// The doc comment as one paragraph.
fn docs(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// The value of a word in `#[serde(…)]`: empty where it has none.
fn serde_word(attributes: &[Attribute], wanted: &str) -> Option<String> {
    let mut found = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        // A word with a form of its own is none of those looked for.
        let _ = attribute.parse_nested_meta(|meta| {
            let value = meta.value().and_then(|value| value.parse::<syn::LitStr>()).map(|text| text.value());
            if meta.path.is_ident(wanted) {
                found = Some(value.unwrap_or_default());
            }
            Ok(())
        });
    }
    found
}

fn renamed(name: &str, case: &str) -> String {
    let joiner = match case {
        "kebab-case" => "-",
        "lowercase" => "",
        _ => "_",
    };
    let mut words = String::new();
    for (index, sign) in name.chars().enumerate() {
        if index > 0 && sign.is_uppercase() {
            words.push_str(joiner);
        }
        words.extend(sign.to_lowercase());
    }
    words
}

fn kind(ty: &Type) -> Kind {
    let leaf = |words: &str| Kind { words: words.to_owned(), inner: None };
    let Type::Path(path) = ty else { return leaf("a value") };
    let Some(last) = path.path.segments.last() else { return leaf("a value") };
    let arguments: Vec<&Type> = match &last.arguments {
        PathArguments::AngleBracketed(inside) => inside
            .args
            .iter()
            .filter_map(|argument| match argument {
                GenericArgument::Type(inner) => Some(inner),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    let name = last.ident.to_string();
    match (name.as_str(), arguments.as_slice()) {
        ("Option", [inner]) => kind(inner),
        ("Vec" | "BTreeSet", [inner]) => {
            let inner = kind(inner);
            Kind { words: format!("a list: {}", inner.words), ..inner }
        }
        ("BTreeMap", [_, inner]) => {
            let inner = kind(inner);
            Kind { words: format!("by name: {}", inner.words), ..inner }
        }
        ("String", _) => leaf("text"),
        ("bool", _) => leaf("`true` or `false`"),
        ("usize" | "u16" | "u32" | "u64", _) => leaf("a number"),
        ("Span", _) => leaf("a span of time"),
        ("Size", _) => leaf("a size"),
        ("Secret", _) => leaf("a secret"),
        ("Value", _) => leaf("JSON"),
        ("Class", _) => leaf("`read`, `write`, `execute`, `admin` or `system`"),
        _ => {
            let module = path.path.segments.iter().rev().nth(1).map(|segment| segment.ident.to_string());
            let module = module.filter(|module| !matches!(module.as_str(), "super" | "crate"));
            Kind { words: "a section".to_owned(), inner: Some((module, name)) }
        }
    }
}

fn find<'a>(
    types: &'a BTreeMap<(usize, String), Raw>,
    here: &str,
    module: Option<&str>,
    name: &str,
) -> Option<(&'a str, &'a Raw)> {
    let wanted = module.unwrap_or(here);
    let named = || types.iter().filter(|((_, other), _)| other == name);
    named()
        .find(|(_, raw)| raw.module == wanted)
        .or_else(|| named().next())
        .map(|((_, name), raw)| (name.as_str(), raw))
}

/// Writes the section of a type at a path, and then those of the types inside.
fn section(
    types: &BTreeMap<(usize, String), Raw>,
    (name, raw): (&str, &Raw),
    path: &str,
    written: &mut BTreeSet<(String, String)>,
    page: &mut String,
) -> anyhow::Result<()> {
    let Shape::Fields(fields) = &raw.shape else { return Ok(()) };
    // What a rule masks besides is written in the words of the section `masking`, and described there.
    let elsewhere = raw.module == "masking" && !path.starts_with("masking");
    if elsewhere || !written.insert((raw.module.to_owned(), name.to_owned())) {
        return Ok(());
    }
    let title = if path.is_empty() { "The document".to_owned() } else { format!("`{path}`") };
    writeln!(page, "\n## {title}\n\n{}\n", raw.docs)?;
    writeln!(page, "| field | holds | meaning |\n|---|---|---|")?;
    let mut inside = Vec::new();
    for field in fields {
        let mut words = field.kind.words.clone();
        let mut more = String::new();
        if let Some((module, inner)) = &field.kind.inner {
            let found = find(types, raw.module, module.as_deref(), inner)
                .with_context(|| format!("no type `{inner}` for {path}.{}", field.name))?;
            let separator = if path.is_empty() { "" } else { "." };
            let list = if words.starts_with("a list") { "[]" } else { "" };
            match &found.1.shape {
                Shape::Fields(_) => {
                    inside.push((found, format!("{path}{separator}{}{list}", field.name)));
                }
                Shape::Choice(choices) => {
                    let said = choices.iter().map(|choice| format!("{}: {}", choice.written, choice.docs));
                    more = format!(" {}", said.collect::<Vec<_>>().join(" "));
                    words = words.replace("a section", "one of these");
                    for (name, kind) in choices.iter().filter_map(|choice| choice.inside.as_ref()) {
                        let Some((module, inner)) = &kind.inner else { continue };
                        if let Some(found) = find(types, raw.module, module.as_deref(), inner) {
                            inside.push((found, format!("{path}{separator}{}.{name}", field.name)));
                        }
                    }
                }
            }
        }
        let must = if field.required { ", **required**" } else { "" };
        let said = format!("{}{more}", field.docs).replace('|', "\\|");
        writeln!(page, "| `{}` | {words}{must} | {said} |", field.name)?;
    }
    for (found, path) in inside {
        section(types, found, &path, written, page)?;
    }
    Ok(())
}
