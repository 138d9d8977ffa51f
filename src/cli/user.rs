//! `quipu user`: who may log in, and how (SCRAM).

use std::io::BufRead;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::client::admin::access;
use crate::security::scram::{ITERATIONS_MAX, ITERATIONS_MIN, Mechanism};

use super::connect::Admin;
use super::failure::Failure;
use super::output::{Rows, number, text};

/// Random bytes that a password is salted with.
const SALT_BYTES: usize = 32;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  quipu user list
  read -rs PASSWORD && printf %s \"$PASSWORD\" | quipu user set alice
  quipu user set alice --mechanism sha-512 --password-file secret.txt
  quipu user delete alice --mechanism sha-512

The password is salted and hashed here; it does not travel.")]
pub(super) struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Show users and what they log in with.
    #[command(visible_aliases = ["ls", "describe"])]
    List(List),
    /// Set a user's password. It is read from standard input unless a file is named.
    #[command(visible_alias = "create")]
    Set(Set),
    /// Delete what a user logs in with.
    #[command(visible_alias = "rm")]
    Delete(Delete),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MechanismName {
    /// SCRAM-SHA-256.
    #[value(name = "sha-256", alias = "SCRAM-SHA-256")]
    Sha256,
    /// SCRAM-SHA-512.
    #[value(name = "sha-512", alias = "SCRAM-SHA-512")]
    Sha512,
}

impl From<MechanismName> for Mechanism {
    fn from(name: MechanismName) -> Self {
        match name {
            MechanismName::Sha256 => Self::Sha256,
            MechanismName::Sha512 => Self::Sha512,
        }
    }
}

#[derive(Debug, Args)]
struct List {
    /// Only these users.
    #[arg(value_name = "USER")]
    users: Vec<String>,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct Set {
    /// Name of the user.
    user: String,
    /// How the password is proved.
    #[arg(long, value_enum, default_value = "sha-256")]
    mechanism: MechanismName,
    /// File whose first line is the password [default: standard input].
    #[arg(long, value_name = "FILE")]
    password_file: Option<std::path::PathBuf>,
    /// How often the password is hashed.
    #[arg(long, value_name = "N", default_value_t = ITERATIONS_MIN, value_parser = clap::value_parser!(i32).range(i64::from(ITERATIONS_MIN)..=i64::from(ITERATIONS_MAX)))]
    iterations: i32,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Args)]
struct Delete {
    /// Name of the user.
    user: String,
    /// For which mechanism [default: for each that the user has].
    #[arg(long, value_enum)]
    mechanism: Option<MechanismName>,
    #[command(flatten)]
    admin: Admin,
}

pub(super) fn run(args: UserArgs) -> Result<(), Failure> {
    match args.command {
        UserCommand::List(args) => list(&args),
        UserCommand::Set(args) => set(&args),
        UserCommand::Delete(args) => delete(&args),
    }
}

fn list(args: &List) -> Result<(), Failure> {
    let mut cluster = args.admin.connect.open()?;
    let mut rows = Rows::new([text("user"), text("mechanism"), number("iterations")]);
    for user in access::describe_users(&mut cluster, &args.users)? {
        for (mechanism, iterations) in &user.credentials {
            rows.push([json!(user.name), json!(mechanism), json!(iterations)]);
        }
    }
    Ok(rows.show(args.admin.format)?)
}

/// The first line of a file or of standard input.
fn password(file: Option<&std::path::Path>) -> Result<String, Failure> {
    let mut line = String::new();
    match file {
        Some(path) => std::fs::File::open(path)
            .and_then(|file| std::io::BufReader::new(file).read_line(&mut line))
            .map_err(|error| Failure::file(path, &error))?,
        None => std::io::stdin()
            .lock()
            .read_line(&mut line)
            .map_err(|error| Failure::failed(format!("cannot read the password: {error}")))?,
    };
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::usage(
            "the password is empty: give it on standard input or with --password-file",
        ));
    }
    Ok(password.to_owned())
}

fn set(args: &Set) -> Result<(), Failure> {
    let password = password(args.password_file.as_deref())?;
    let mut salt = [0; SALT_BYTES];
    let drawn = rustix::rand::getrandom(&mut salt, rustix::rand::GetRandomFlags::empty());
    if !drawn.is_ok_and(|drawn| drawn == SALT_BYTES) {
        return Err(Failure::failed("the system gives no random bytes to salt the password with"));
    }
    let mechanism = Mechanism::from(args.mechanism);
    let mut cluster = args.admin.connect.open()?;
    access::set_password(&mut cluster, &args.user, mechanism, &password, &salt, args.iterations)?;
    let mut rows = Rows::new([text("user"), text("mechanism"), text("status")]);
    rows.push([json!(args.user), json!(mechanism.name()), json!("set")]);
    Ok(rows.show(args.admin.format)?)
}

fn delete(args: &Delete) -> Result<(), Failure> {
    let mut cluster = args.admin.connect.open()?;
    let mechanisms = match args.mechanism {
        Some(mechanism) => vec![Mechanism::from(mechanism)],
        None => {
            let users = access::describe_users(&mut cluster, std::slice::from_ref(&args.user))?;
            let has = |mechanism: &Mechanism| {
                let mut credentials = users.iter().flat_map(|user| &user.credentials);
                credentials.any(|(name, _)| name == mechanism.name())
            };
            Mechanism::ALL.into_iter().filter(has).collect()
        }
    };
    let mut rows = Rows::new([text("user"), text("mechanism"), text("status")]);
    for mechanism in mechanisms {
        access::delete_credential(&mut cluster, &args.user, mechanism)?;
        rows.push([json!(args.user), json!(mechanism.name()), json!("deleted")]);
    }
    Ok(rows.show(args.admin.format)?)
}
