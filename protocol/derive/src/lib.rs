//! The derive macro behind the message declarations of `quipu-protocol`.
//!
//! A message is declared once, as a struct whose attributes say in which versions a field is on the wire,
//! may be null or is tagged. From that the macro writes `Decode`, `Encode`, `Default` (with Kafka's
//! defaults), the schema that tests compare with Kafka's own, and for top-level messages `Message`.
//!
//! Attributes of a struct: `api_key = 1`, `kind = "request" | "response" | "data"`, `versions = "4-18"`,
//! `flexible = "12+" | "none"`, `latest_unstable`, `name = "Original"`.
//! Attributes of a field: `versions = "0-12"` (all by default), `nullable = "7+"`, `tag = 0`,
//! `tagged = "12+"`, `flexible = "none"`, `default = -1 | true | "x" | null`, `name = "Original"`.

mod declaration;
mod emit;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives the wire form of a message or of a part of one; see the crate documentation.
#[proc_macro_derive(Message, attributes(kafka))]
pub fn message(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    declaration::Declaration::parse(&input)
        .map(|declaration| emit::all(&declaration))
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
