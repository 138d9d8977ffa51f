//! What the message declarations say, as data: for tests that compare them with Kafka's own schemas, for
//! generators of values, and for documentation.

/// A range of versions; both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The first version.
    pub first: i16,
    /// The last version, [`i16::MAX`] if the range is open.
    pub last: i16,
}

impl Versions {
    /// Whether `version` is in the range.
    #[must_use]
    pub const fn contains(self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }
}

/// What a top-level message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// The body of a request.
    Request,
    /// The body of a response.
    Response,
    /// The header of a request or response.
    Header,
    /// Bytes inside a field of another message.
    Data,
}

/// The type of a field.
#[derive(Debug, Clone, Copy)]
pub enum FieldType {
    /// One byte, zero or not.
    Bool,
    /// 8 bits, signed.
    Int8,
    /// 16 bits, signed, big-endian like all numbers.
    Int16,
    /// 16 bits, unsigned.
    Uint16,
    /// 32 bits, signed.
    Int32,
    /// 32 bits, unsigned.
    Uint32,
    /// 64 bits, signed.
    Int64,
    /// IEEE 754 double.
    Float64,
    /// 16 bytes.
    Uuid,
    /// UTF-8 with a length.
    String,
    /// Bytes with a length.
    Bytes,
    /// Record batches with a length in bytes.
    Records,
    /// A part with fields of its own.
    Struct(&'static StructSchema),
    /// A count, then the elements.
    Array(&'static FieldType),
}

/// The value of a field in the versions that lack it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DefaultValue {
    /// Zero, false, empty, or a struct of defaults; null for records.
    Zero,
    /// Null.
    Null,
    /// A number.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// A string.
    Str(&'static str),
}

/// One field of a message or of a part of one.
#[derive(Debug, Clone, Copy)]
pub struct FieldSchema {
    /// Kafka's name, for example `TopicId`.
    pub name: &'static str,
    /// The type.
    pub ty: FieldType,
    /// The versions in which the field exists.
    pub versions: Versions,
    /// The versions in which it may be null.
    pub nullable: Option<Versions>,
    /// The tag, and the versions in which the field is tagged.
    pub tag: Option<(u32, Versions)>,
    /// Whether the field keeps its old form in flexible versions.
    pub never_flexible: bool,
    /// The default.
    pub default: DefaultValue,
}

/// The fields of a message or of a part of one, in wire order.
#[derive(Debug)]
pub struct StructSchema {
    /// Kafka's name.
    pub name: &'static str,
    /// The fields.
    pub fields: &'static [FieldSchema],
}

/// A type that a field of a message can have.
pub trait Field {
    /// The type as data.
    const TYPE: FieldType;

    /// The fewest bytes that a value has on the wire; bounds the counts of arrays.
    fn min_bytes(version: i16, flexible: bool) -> usize;
}

/// The schema of a struct type, for constants.
///
/// # Panics
/// If the type is not a struct.
#[must_use]
pub const fn struct_of(ty: &FieldType) -> &'static StructSchema {
    match ty {
        FieldType::Struct(schema) => schema,
        _ => panic!("not a struct"),
    }
}
