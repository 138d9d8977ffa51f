//! SCRAM credentials (RFC 5802, KIP-84, KIP-554): what is kept of a password.
//!
//! A client that sets a password sends it salted and hashed (PBKDF2). Two keys are derived from that and kept, as Kafka
//! keeps them: with the stored key a login is verified, with the server key the broker proves itself. Neither leads back
//! to the password, and neither is ever told to a client.

use std::collections::BTreeMap;
use std::fmt;

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use quipu_protocol::ErrorCode;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256, Sha512};

use crate::broker::Refused;

/// Fewest iterations, for both mechanisms (RFC 7677).
pub const ITERATIONS_MIN: i32 = 4096;
/// Most iterations: whoever logs in has to compute them.
pub const ITERATIONS_MAX: i32 = 16_384;
/// Most credentials that are kept.
pub const CREDENTIALS_MAX: usize = 10_000;
/// Longest salt and longest salted password, in bytes; clients send 20 to 64.
const SECRET_BYTES_MAX: usize = 1024;

/// A hash function to prove a password with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Mechanism {
    /// `SCRAM-SHA-256`.
    #[serde(rename = "SCRAM-SHA-256")]
    Sha256,
    /// `SCRAM-SHA-512`.
    #[serde(rename = "SCRAM-SHA-512")]
    Sha512,
}

impl Mechanism {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The number on the wire.
    pub fn code(self) -> i8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }

    /// The mechanism of this number.
    pub fn of_code(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.code() == code)
    }

    /// The name by which a client asks for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// Salts and hashes a password (`Hi` of RFC 5802).
    pub fn salted_password(self, password: &[u8], salt: &[u8], iterations: i32) -> Vec<u8> {
        let mut block = self.hmac(password, &[salt, &1_u32.to_be_bytes()]);
        let mut salted = block.clone();
        for _ in 1..iterations {
            block = self.hmac(password, &[&block]);
            salted.iter_mut().zip(&block).for_each(|(sum, byte)| *sum ^= byte);
        }
        salted
    }

    fn hmac(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        fn sum<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
            let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().to_vec()
        }
        match self {
            Self::Sha256 => sum::<Hmac<Sha256>>(key, parts),
            Self::Sha512 => sum::<Hmac<Sha512>>(key, parts),
        }
    }

    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }
}

/// What is kept of one password for one mechanism.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Random bytes that the password was salted with.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub salt: Vec<u8>,
    /// Hash of the client's key.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub stored_key: Vec<u8>,
    /// The server's key.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub server_key: Vec<u8>,
    /// How often the password was hashed.
    pub iterations: i32,
}

/// Keys do not belong into a log.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl Credential {
    /// Derives the keys from a salted password.
    pub fn new(mechanism: Mechanism, salted_password: &[u8], salt: &[u8], iterations: i32) -> Self {
        let client_key = mechanism.hmac(salted_password, &[b"Client Key"]);
        Self {
            salt: salt.to_vec(),
            stored_key: mechanism.hash(&client_key),
            server_key: mechanism.hmac(salted_password, &[b"Server Key"]),
            iterations,
        }
    }
}

/// The credentials of all users.
pub type Credentials = BTreeMap<(String, Mechanism), Credential>;

/// A wish of AlterUserScramCredentials.
#[derive(Debug)]
pub enum Alteration {
    /// Forget a credential.
    Delete {
        /// Whose.
        user: String,
        /// The mechanism's number.
        mechanism: i8,
    },
    /// Set or replace one.
    Upsert {
        /// Whose.
        user: String,
        /// The mechanism's number.
        mechanism: i8,
        /// How often the password was hashed.
        iterations: i32,
        /// What it was salted with.
        salt: Vec<u8>,
        /// The outcome.
        salted_password: Vec<u8>,
    },
}

/// A credential that is to be set, or with `None` forgotten.
pub type Change = (String, Mechanism, Option<Credential>);

impl Alteration {
    /// Whom it is about.
    pub fn user(&self) -> &str {
        match self {
            Self::Delete { user, .. } | Self::Upsert { user, .. } => user,
        }
    }

    /// What has to happen, given what there is.
    ///
    /// # Errors
    /// `UNACCEPTABLE_CREDENTIAL`, `UNSUPPORTED_SASL_MECHANISM`, `RESOURCE_NOT_FOUND`, in Kafka's words.
    pub fn plan(&self, current: &Credentials) -> Result<Change, Refused> {
        let unacceptable = |message: &str| Err(Refused::new(ErrorCode::UNACCEPTABLE_CREDENTIAL, message));
        let (Self::Delete { user, mechanism } | Self::Upsert { user, mechanism, .. }) = self;
        if user.is_empty() {
            return unacceptable("Username must not be empty");
        }
        let mechanism = Mechanism::of_code(*mechanism)
            .ok_or_else(|| Refused::new(ErrorCode::UNSUPPORTED_SASL_MECHANISM, "Unknown SCRAM mechanism"))?;
        let key = (user.to_owned(), mechanism);
        let Self::Upsert { iterations, salt, salted_password, .. } = self else {
            if !current.contains_key(&key) {
                return Err(Refused::new(
                    ErrorCode::RESOURCE_NOT_FOUND,
                    "Attempt to delete a user credential that does not exist",
                ));
            }
            return Ok((key.0, mechanism, None));
        };
        if *iterations < ITERATIONS_MIN {
            return unacceptable("Too few iterations");
        }
        if *iterations > ITERATIONS_MAX {
            return unacceptable("Too many iterations");
        }
        if user.len() > crate::catalog::NAME_BYTES_MAX {
            return unacceptable("Username is too long");
        }
        if salt.len() > SECRET_BYTES_MAX || salted_password.len() > SECRET_BYTES_MAX {
            return unacceptable("Salt or salted password is too long");
        }
        Ok((key.0, mechanism, Some(Credential::new(mechanism, salted_password, salt, *iterations))))
    }
}

fn to_hex<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    use std::fmt::Write;
    let text = bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    to.serialize_str(&text)
}

fn from_hex<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 => {
            Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
        }
        _ => Err(serde::de::Error::custom("bytes are written in pairs of hexadecimal digits")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        from_hex(serde_json::Value::String(hex.into())).unwrap()
    }

    /// The example of RFC 7677: user "user", password "pencil". Its proof and signature follow from the two keys.
    #[test]
    fn keys_are_those_of_the_standard() {
        let salt = bytes("5b6d99689d12358eeca04b141236fa81");
        let salted = Mechanism::Sha256.salted_password(b"pencil", &salt, 4096);
        let credential = Credential::new(Mechanism::Sha256, &salted, &salt, 4096);
        let auth = b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                     s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        // v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=
        assert_eq!(
            Mechanism::Sha256.hmac(&credential.server_key, &[auth]),
            bytes("eabae24d1062db75a9451ff0b6ea7e98c8546549ff741e672d3251b2397de46e")
        );
        // p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=: the client's key, hidden by the signature of the stored one.
        let proof = bytes("747cdb65aa56224e2352137e52d7bdcad6a0f738df30782caa69a2cfb0277554");
        let signature = Mechanism::Sha256.hmac(&credential.stored_key, &[auth]);
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        assert_eq!(Mechanism::Sha256.hash(&client_key), credential.stored_key);
    }

    #[test]
    fn a_credential_survives_being_written_and_shows_no_keys() {
        let credential = Credential::new(Mechanism::Sha512, b"salted", b"salt", 5000);
        assert_eq!((credential.stored_key.len(), credential.server_key.len()), (64, 64));
        let text = serde_json::to_string(&credential).unwrap();
        assert_eq!(serde_json::from_str::<Credential>(&text).unwrap(), credential);
        assert_eq!(format!("{credential:?}"), "Credential { iterations: 5000, .. }");
        for wrong in ["a", "xx", "+a", "é"] {
            assert!(from_hex(serde_json::Value::String(wrong.into())).is_err(), "{wrong}");
        }
    }

    #[test]
    fn alterations_are_refused_in_kafkas_words() {
        let upsert = |user: &str, mechanism, iterations| Alteration::Upsert {
            user: user.into(),
            mechanism,
            iterations,
            salt: b"salt".into(),
            salted_password: b"salted".into(),
        };
        let mut current = Credentials::new();
        let (user, mechanism, set) = upsert("a", 1, 4096).plan(&current).unwrap();
        assert_eq!((user.as_str(), mechanism), ("a", Mechanism::Sha256));
        current.insert((user, mechanism), set.unwrap());
        assert_eq!(
            Alteration::Delete { user: "a".into(), mechanism: 1 }.plan(&current),
            Ok(("a".into(), Mechanism::Sha256, None))
        );
        assert!(upsert("a", 2, 16_384).plan(&current).is_ok());
        for (wrong, code, why) in [
            (upsert("", 1, 4096), ErrorCode::UNACCEPTABLE_CREDENTIAL, "Username must not be empty"),
            (upsert("a", 0, 4096), ErrorCode::UNSUPPORTED_SASL_MECHANISM, "Unknown SCRAM mechanism"),
            (upsert("a", 1, 4095), ErrorCode::UNACCEPTABLE_CREDENTIAL, "Too few iterations"),
            (upsert("a", 1, 16_385), ErrorCode::UNACCEPTABLE_CREDENTIAL, "Too many iterations"),
            (
                Alteration::Delete { user: "a".into(), mechanism: 2 },
                ErrorCode::RESOURCE_NOT_FOUND,
                "Attempt to delete a user credential that does not exist",
            ),
        ] {
            assert_eq!(wrong.plan(&current), Err(Refused::new(code, why)), "{wrong:?}");
        }
    }
}
