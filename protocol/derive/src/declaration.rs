//! Reads a declared struct into a form that [`crate::emit`] writes code from.

use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Expr, Fields, Ident, LitInt, LitStr, Result, Type};

/// A range of versions; `last` is `None` for an open end.
#[derive(Clone, Copy)]
pub(crate) struct Versions {
    pub(crate) first: i16,
    pub(crate) last: Option<i16>,
}

impl Versions {
    const ALL: Versions = Versions { first: 0, last: None };

    fn parse(text: &LitStr) -> Result<Option<Versions>> {
        let value = text.value();
        let number =
            |part: &str| part.parse::<i16>().map_err(|_| Error::new(text.span(), "not a version range"));
        if value == "none" {
            return Ok(None);
        }
        let range = if let Some(first) = value.strip_suffix('+') {
            Versions { first: number(first)?, last: None }
        } else if let Some((first, last)) = value.split_once('-') {
            Versions { first: number(first)?, last: Some(number(last)?) }
        } else {
            let only = number(&value)?;
            Versions { first: only, last: Some(only) }
        };
        Ok(Some(range))
    }
}

/// What only a top-level message declares.
pub(crate) struct TopLevel {
    pub(crate) api_key: Option<LitInt>,
    pub(crate) kind: LitStr,
    pub(crate) first: i16,
    pub(crate) last: i16,
    pub(crate) flexible: Option<i16>,
    pub(crate) latest_unstable: bool,
}

/// The value that a field has when it is not on the wire.
pub(crate) enum DefaultValue {
    /// Zero, false, or empty.
    Zero,
    Null,
    Literal(Expr),
}

pub(crate) struct Field {
    pub(crate) ident: Ident,
    /// Kafka's name of the field.
    pub(crate) name: String,
    /// The declared type, without `Option`.
    pub(crate) ty: Type,
    pub(crate) versions: Versions,
    /// `Some` exactly if the type is `Option<_>`.
    pub(crate) nullable: Option<Versions>,
    pub(crate) tag: Option<(u32, Versions)>,
    pub(crate) never_flexible: bool,
    pub(crate) default: DefaultValue,
}

impl Field {
    /// The name of the innermost type constructor, such as `Vec` or `Str`.
    pub(crate) fn type_name(&self) -> String {
        last_segment(&self.ty)
    }
}

pub(crate) struct Declaration {
    pub(crate) ident: Ident,
    pub(crate) generics: syn::Generics,
    pub(crate) name: String,
    pub(crate) top_level: Option<TopLevel>,
    pub(crate) fields: Vec<Field>,
}

impl Declaration {
    pub(crate) fn parse(input: &DeriveInput) -> Result<Declaration> {
        let Data::Struct(data) = &input.data else {
            return Err(Error::new(input.span(), "a message is a struct"));
        };
        let Fields::Named(named) = &data.fields else {
            return Err(Error::new(input.span(), "the fields of a message have names"));
        };
        let (mut api_key, mut kind, mut versions, mut flexible) = (None, None, None, None);
        let mut latest_unstable = false;
        let mut name = input.ident.to_string();
        for attribute in input.attrs.iter().filter(|a| a.path().is_ident("kafka")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("api_key") {
                    api_key = Some(meta.value()?.parse::<LitInt>()?);
                } else if meta.path.is_ident("kind") {
                    kind = Some(meta.value()?.parse::<LitStr>()?);
                } else if meta.path.is_ident("versions") {
                    versions = Versions::parse(&meta.value()?.parse()?)?;
                } else if meta.path.is_ident("flexible") {
                    flexible = Versions::parse(&meta.value()?.parse()?)?.map(|range| range.first);
                } else if meta.path.is_ident("latest_unstable") {
                    latest_unstable = true;
                } else if meta.path.is_ident("name") {
                    name = meta.value()?.parse::<LitStr>()?.value();
                } else {
                    return Err(meta.error("unknown attribute of a message"));
                }
                Ok(())
            })?;
        }
        let top_level = match kind {
            None => None,
            Some(kind) => {
                let range =
                    versions.ok_or_else(|| Error::new(kind.span(), "a message declares its versions"))?;
                let last = range.last.ok_or_else(|| Error::new(kind.span(), "versions need an end"))?;
                Some(TopLevel { api_key, kind, first: range.first, last, flexible, latest_unstable })
            }
        };
        let fields = named.named.iter().map(parse_field).collect::<Result<Vec<_>>>()?;
        Ok(Declaration {
            ident: input.ident.clone(),
            generics: input.generics.clone(),
            name,
            top_level,
            fields,
        })
    }
}

fn parse_field(field: &syn::Field) -> Result<Field> {
    let ident = field.ident.clone().ok_or_else(|| Error::new(field.span(), "a field has a name"))?;
    let mut name = None;
    let mut versions = Versions::ALL;
    let (mut nullable, mut tag, mut tagged) = (None, None, None);
    let mut never_flexible = false;
    let mut default = DefaultValue::Zero;
    for attribute in field.attrs.iter().filter(|a| a.path().is_ident("kafka")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("versions") {
                versions = Versions::parse(&meta.value()?.parse()?)?
                    .ok_or_else(|| meta.error("a field is on the wire in some version"))?;
            } else if meta.path.is_ident("nullable") {
                nullable = Versions::parse(&meta.value()?.parse()?)?;
            } else if meta.path.is_ident("tag") {
                tag = Some(meta.value()?.parse::<LitInt>()?.base10_parse::<u32>()?);
            } else if meta.path.is_ident("tagged") {
                tagged = Versions::parse(&meta.value()?.parse()?)?;
            } else if meta.path.is_ident("flexible") {
                never_flexible = Versions::parse(&meta.value()?.parse()?)?.is_none();
            } else if meta.path.is_ident("default") {
                let value = meta.value()?.parse::<Expr>()?;
                default = match &value {
                    Expr::Path(path) if path.path.is_ident("null") => DefaultValue::Null,
                    _ => DefaultValue::Literal(value),
                };
            } else if meta.path.is_ident("name") {
                name = Some(meta.value()?.parse::<LitStr>()?.value());
            } else {
                return Err(meta.error("unknown attribute of a field"));
            }
            Ok(())
        })?;
    }
    let (optional, ty) = match option_of(&field.ty) {
        Some(inner) => (true, inner.clone()),
        None => (false, field.ty.clone()),
    };
    if optional != nullable.is_some() {
        return Err(Error::new(field.span(), "a field is an Option exactly if it is nullable"));
    }
    let tag = match (tag, tagged) {
        (Some(tag), Some(versions)) => Some((tag, versions)),
        (None, None) => None,
        _ => return Err(Error::new(field.span(), "`tag` and `tagged` go together")),
    };
    let name = name.unwrap_or_else(|| camel_case(ident.to_string().trim_start_matches("r#")));
    Ok(Field { ident, name, ty, versions, nullable, tag, never_flexible, default })
}

fn camel_case(snake: &str) -> String {
    let mut out = String::with_capacity(snake.len());
    for word in snake.split('_') {
        let mut letters = word.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}

fn option_of(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let segment = path.path.segments.last().filter(|segment| segment.ident == "Option")?;
    let syn::PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    match arguments.args.first() {
        Some(syn::GenericArgument::Type(inner)) => Some(inner),
        _ => None,
    }
}

fn last_segment(ty: &Type) -> String {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|s| s.ident.to_string()).unwrap_or_default(),
        _ => String::new(),
    }
}
