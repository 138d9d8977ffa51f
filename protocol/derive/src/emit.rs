//! Writes the implementations for a [`Declaration`].

use crate::declaration::{Declaration, DefaultValue, Field, TopLevel, Versions};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Lifetime, parse_quote};

pub(crate) fn all(declaration: &Declaration) -> TokenStream {
    let default = default_impl(declaration);
    let decode = decode_impl(declaration);
    let encode = encode_impl(declaration);
    let schema = schema_impl(declaration);
    let message = declaration.top_level.as_ref().map(|top| message_impl(declaration, top));
    quote! { #default #decode #encode #schema #message }
}

/// A condition on `version`, or `None` if it always holds.
fn contains(versions: Versions) -> Option<TokenStream> {
    let Versions { first, last } = versions;
    match (first > 0, last) {
        (false, None) => None,
        (true, None) => Some(quote!(version >= #first)),
        (false, Some(last)) => Some(quote!(version <= #last)),
        (true, Some(last)) => Some(quote!((#first..=#last).contains(&version))),
    }
}

fn all_of(conditions: [Option<TokenStream>; 2]) -> Option<TokenStream> {
    conditions.into_iter().flatten().reduce(|left, right| quote!(#left && #right))
}

fn not(condition: Option<TokenStream>) -> Option<TokenStream> {
    Some(condition.map_or(quote!(false), |condition| quote!(!(#condition))))
}

/// When the field is in the plain part of the struct; `Some(false)` if never.
fn inline(field: &Field) -> Option<TokenStream> {
    match field.tag {
        None => contains(field.versions),
        Some((_, tagged)) => all_of([contains(field.versions), not(contains(tagged))]),
    }
}

/// False only for tagged fields that are tagged wherever they exist.
fn ever_inline(field: &Field) -> bool {
    field.tag.is_none_or(|(_, tagged)| {
        field.versions.first < tagged.first
            || tagged.last.is_some_and(|end| field.versions.last.is_none_or(|last| last > end))
    })
}

fn tagged(field: &Field) -> Option<(u32, Option<TokenStream>)> {
    let (tag, versions) = field.tag?;
    Some((tag, all_of([contains(field.versions), contains(versions)])))
}

fn tagged_fields(declaration: &Declaration) -> Vec<&Field> {
    let mut fields: Vec<&Field> = declaration.fields.iter().filter(|field| field.tag.is_some()).collect();
    fields.sort_by_key(|field| field.tag.map(|(tag, _)| tag));
    fields
}

fn default_of(field: &Field) -> TokenStream {
    let ty = &field.ty;
    let value = match &field.default {
        DefaultValue::Null => return quote!(::core::option::Option::None),
        // Kafka's generator has no other default for records than null.
        DefaultValue::Zero if field.nullable.is_some() && field.type_name() == "Records" => {
            return quote!(::core::option::Option::None);
        }
        DefaultValue::Zero => quote!(<#ty as ::core::default::Default>::default()),
        DefaultValue::Literal(literal) if field.type_name() == "ErrorCode" => {
            quote!(::quipu_protocol::error_code::ErrorCode(#literal))
        }
        DefaultValue::Literal(literal) if field.type_name() == "Str" => {
            quote!(::std::borrow::Cow::Borrowed(#literal))
        }
        DefaultValue::Literal(literal) => quote!(#literal),
    };
    if field.nullable.is_some() { quote!(::core::option::Option::Some(#value)) } else { value }
}

fn default_impl(declaration: &Declaration) -> TokenStream {
    let ident = &declaration.ident;
    let (impl_generics, type_generics, _) = declaration.generics.split_for_impl();
    let fields = declaration.fields.iter().map(|field| {
        let (name, value) = (&field.ident, default_of(field));
        quote!(#name: #value,)
    });
    quote! {
        impl #impl_generics ::core::default::Default for #ident #type_generics {
            #[inline]
            fn default() -> Self {
                Self { #(#fields)* }
            }
        }
    }
}

fn read(field: &Field) -> TokenStream {
    let ty = &field.ty;
    let decode = quote!(<#ty as ::quipu_protocol::Decode>::decode(r, version)?);
    let nullable = quote!(<#ty as ::quipu_protocol::Decode>::decode_nullable(r, version)?);
    let value = match field.nullable {
        None => decode,
        Some(versions) => match contains(versions) {
            None => nullable,
            Some(condition) => {
                quote!(if #condition { #nullable } else { ::core::option::Option::Some(#decode) })
            }
        },
    };
    if field.never_flexible {
        quote!({
            let flexible = ::core::mem::replace(&mut r.flexible, false);
            let value = #value;
            r.flexible = flexible;
            value
        })
    } else {
        value
    }
}

fn decode_impl(declaration: &Declaration) -> TokenStream {
    let ident = &declaration.ident;
    let (_, type_generics, _) = declaration.generics.split_for_impl();
    let lifetime: Lifetime = parse_quote!('a);
    let mut generics = declaration.generics.clone();
    if generics.lifetimes().next().is_none() {
        generics.params.insert(0, parse_quote!('a));
    }
    let (impl_generics, _, _) = generics.split_for_impl();

    let check = declaration.top_level.as_ref().map(|top| {
        let flexible = match top.flexible {
            None => quote!(false),
            Some(first) => quote!(version >= #first),
        };
        quote! {
            if !<Self as ::quipu_protocol::Message>::VERSIONS.contains(&version) {
                return ::core::result::Result::Err(::quipu_protocol::primitives::DecodeError::UnsupportedVersion {
                    message: <Self as ::quipu_protocol::Message>::NAME,
                    version,
                });
            }
            r.flexible = #flexible;
        }
    });
    let has_tagged = declaration.fields.iter().any(|field| field.tag.is_some());
    let reads = declaration.fields.iter().map(|field| {
        let name = &field.ident;
        let default = default_of(field);
        let mutable = field.tag.is_some().then(|| quote!(mut));
        let value = if ever_inline(field) {
            let read = read(field);
            match inline(field) {
                None => read,
                Some(condition) => quote!(if #condition { #read } else { #default }),
            }
        } else {
            default
        };
        quote!(let #mutable #name = #value;)
    });
    let names = declaration.fields.iter().map(|field| &field.ident);
    let tags = if has_tagged {
        let arms = tagged_fields(declaration).into_iter().filter_map(|field| {
            let name = &field.ident;
            let (tag, condition) = tagged(field)?;
            let guard = condition.map(|condition| quote!(if #condition));
            let read = read(field);
            Some(quote!(#tag #guard => { #name = #read; }))
        });
        quote! {
            let mut left = r.read_tag_count()?;
            while left > 0 {
                left -= 1;
                let (tag, outer) = r.enter_tag()?;
                match tag {
                    #(#arms)*
                    _ => r.skip_rest(),
                }
                r.leave_tag(outer)?;
            }
        }
    } else {
        quote!(r.skip_tags()?;)
    };
    quote! {
        impl #impl_generics ::quipu_protocol::Decode<#lifetime> for #ident #type_generics {
            #[inline]
            #[allow(unused_variables, clippy::absurd_extreme_comparisons)]
            fn decode(
                r: &mut ::quipu_protocol::primitives::Reader<#lifetime>,
                version: i16,
            ) -> ::core::result::Result<Self, ::quipu_protocol::primitives::DecodeError> {
                #check
                #(#reads)*
                if r.flexible {
                    #tags
                }
                ::core::result::Result::Ok(Self { #(#names),* })
            }
        }
    }
}

fn write(field: &Field) -> TokenStream {
    let (name, ty) = (&field.ident, &field.ty);
    let value = match field.nullable {
        None => quote!(<#ty as ::quipu_protocol::Encode>::encode(&self.#name, w, version);),
        Some(versions) => {
            let nullable = quote! {
                <#ty as ::quipu_protocol::Encode>::encode_nullable(self.#name.as_ref(), w, version);
            };
            match contains(versions) {
                None => nullable,
                // The version has no null: the empty value stands for it.
                Some(condition) => quote! {
                    if #condition {
                        #nullable
                    } else if let ::core::option::Option::Some(value) = &self.#name {
                        <#ty as ::quipu_protocol::Encode>::encode(value, w, version);
                    } else {
                        <#ty as ::quipu_protocol::Encode>::encode(&::core::default::Default::default(), w, version);
                    }
                },
            }
        }
    };
    if field.never_flexible {
        quote! {
            let flexible = ::core::mem::replace(&mut w.flexible, false);
            #value
            w.flexible = flexible;
        }
    } else {
        value
    }
}

/// Whether a tagged field is written: Kafka leaves out a value that equals the default.
fn differs_from_default(field: &Field) -> TokenStream {
    let name = &field.ident;
    let empty_is_default = matches!(field.type_name().as_str(), "Vec" | "Str" | "Blob");
    match (&field.default, field.nullable.is_some()) {
        (DefaultValue::Null, _) => quote!(self.#name.is_some()),
        (DefaultValue::Zero, false) if empty_is_default => quote!(!self.#name.is_empty()),
        (DefaultValue::Zero, true) if empty_is_default => {
            quote!(self.#name.as_ref().is_none_or(|value| !value.is_empty()))
        }
        _ => {
            let default = default_of(field);
            quote!(self.#name != #default)
        }
    }
}

fn encode_impl(declaration: &Declaration) -> TokenStream {
    let ident = &declaration.ident;
    let (impl_generics, type_generics, _) = declaration.generics.split_for_impl();
    let set_flexible = declaration.top_level.as_ref().map(|top| {
        let flexible = match top.flexible {
            None => quote!(false),
            Some(first) => quote!(version >= #first),
        };
        quote! {
            debug_assert!(
                <Self as ::quipu_protocol::Message>::VERSIONS.contains(&version),
                "{} has no version {version}",
                <Self as ::quipu_protocol::Message>::NAME,
            );
            w.flexible = #flexible;
        }
    });
    let writes = declaration.fields.iter().filter(|field| ever_inline(field)).map(|field| {
        let write = write(field);
        match inline(field) {
            None => write,
            Some(condition) => quote!(if #condition { #write }),
        }
    });
    let tagged_fields = tagged_fields(declaration);
    let tags = if tagged_fields.is_empty() {
        quote!(w.put_unsigned_varint(0);)
    } else {
        let present: Vec<syn::Ident> = tagged_fields
            .iter()
            .map(|field| quote::format_ident!("write_tag_{}", field.tag.map_or(0, |(tag, _)| tag)))
            .collect();
        let decide = tagged_fields.iter().zip(&present).map(|(field, present)| {
            let differs = differs_from_default(field);
            let condition = match tagged(field).and_then(|(_, condition)| condition) {
                None => differs,
                Some(condition) => quote!((#condition) && #differs),
            };
            quote!(let #present = #condition;)
        });
        let bodies = tagged_fields.iter().zip(&present).map(|(field, present)| {
            let tag = field.tag.map_or(0, |(tag, _)| tag);
            let write = write(field);
            quote! {
                if #present {
                    let start = w.open_tag(#tag);
                    #write
                    w.close_tag(start);
                }
            }
        });
        quote! {
            #(#decide)*
            w.put_unsigned_varint(0 #(+ u32::from(#present))*);
            #(#bodies)*
        }
    };
    quote! {
        impl #impl_generics ::quipu_protocol::Encode for #ident #type_generics {
            #[inline]
            #[allow(unused_variables)]
            fn encode(&self, w: &mut ::quipu_protocol::primitives::Writer, version: i16) {
                #set_flexible
                #(#writes)*
                if w.flexible {
                    #tags
                }
            }
        }
    }
}

fn schema_impl(declaration: &Declaration) -> TokenStream {
    let ident = &declaration.ident;
    let name = &declaration.name;
    let (impl_generics, type_generics, _) = declaration.generics.split_for_impl();
    let fields = declaration.fields.iter().map(|field| {
        let (name, ty) = (&field.name, &field.ty);
        let versions = range(field.versions);
        let nullable = optional(field.nullable.map(range));
        let tag = optional(field.tag.map(|(tag, versions)| {
            let versions = range(versions);
            quote!((#tag, #versions))
        }));
        let never_flexible = field.never_flexible;
        let default = match &field.default {
            DefaultValue::Zero => quote!(Zero),
            DefaultValue::Null => quote!(Null),
            DefaultValue::Literal(literal) => match literal {
                syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Bool(value), .. }) => quote!(Bool(#value)),
                syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(value), .. }) => quote!(Str(#value)),
                other => quote!(Int(#other)),
            },
        };
        quote! {
            ::quipu_protocol::schema::FieldSchema {
                name: #name,
                ty: <#ty as ::quipu_protocol::schema::Field>::TYPE,
                versions: #versions,
                nullable: #nullable,
                tag: #tag,
                never_flexible: #never_flexible,
                default: ::quipu_protocol::schema::DefaultValue::#default,
            },
        }
    });
    let minimums = declaration.fields.iter().filter(|field| ever_inline(field)).map(|field| {
        let ty = &field.ty;
        let minimum = quote!(<#ty as ::quipu_protocol::schema::Field>::min_bytes(version, flexible));
        // A null struct is one byte; every other null is as long as the empty value.
        let least = if field.nullable.is_some() { quote!(#minimum.min(1)) } else { minimum };
        match inline(field) {
            None => quote!(bytes += #least;),
            Some(condition) => quote!(if #condition { bytes += #least; }),
        }
    });
    quote! {
        impl #impl_generics ::quipu_protocol::schema::Field for #ident #type_generics {
            const TYPE: ::quipu_protocol::schema::FieldType =
                ::quipu_protocol::schema::FieldType::Struct(&::quipu_protocol::schema::StructSchema {
                    name: #name,
                    fields: &[#(#fields)*],
                });

            #[inline]
            #[allow(unused_variables)]
            fn min_bytes(version: i16, flexible: bool) -> usize {
                let mut bytes = usize::from(flexible);
                #(#minimums)*
                bytes
            }
        }
    }
}

fn message_impl(declaration: &Declaration, top: &TopLevel) -> TokenStream {
    let ident = &declaration.ident;
    let name = &declaration.name;
    let (impl_generics, type_generics, _) = declaration.generics.split_for_impl();
    let api_key = optional(top.api_key.as_ref().map(|key| quote!(#key)));
    let flexible = optional(top.flexible.map(|first| quote!(#first)));
    let (first, last, latest_unstable) = (top.first, top.last, top.latest_unstable);
    let kind = match top.kind.value().as_str() {
        "request" => quote!(Request),
        "response" => quote!(Response),
        "header" => quote!(Header),
        _ => quote!(Data),
    };
    quote! {
        impl #impl_generics ::quipu_protocol::Message for #ident #type_generics {
            const NAME: &'static str = #name;
            const KIND: ::quipu_protocol::schema::MessageKind =
                ::quipu_protocol::schema::MessageKind::#kind;
            const API_KEY: ::core::option::Option<i16> = #api_key;
            const VERSIONS: ::core::ops::RangeInclusive<i16> = #first..=#last;
            const LATEST_UNSTABLE: bool = #latest_unstable;
            const FLEXIBLE: ::core::option::Option<i16> = #flexible;
            const SCHEMA: &'static ::quipu_protocol::schema::StructSchema =
                ::quipu_protocol::schema::struct_of(&<Self as ::quipu_protocol::schema::Field>::TYPE);
        }
    }
}

fn range(versions: Versions) -> TokenStream {
    let first = versions.first;
    let last = versions.last.unwrap_or(i16::MAX);
    quote!(::quipu_protocol::schema::Versions { first: #first, last: #last })
}

fn optional(value: Option<TokenStream>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}
