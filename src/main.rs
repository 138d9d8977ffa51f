//! Hands the arguments to the command line and exits with its code.

use std::process::ExitCode;

use clap::Parser;
use quipu::cli::{dev, serve};

#[derive(Parser)]
#[command(version)]
enum Command {
    Serve(serve::ServeArgs),
    Dev(dev::DevArgs),
}

fn main() -> ExitCode {
    match Command::parse() {
        Command::Serve(args) => serve::run(args),
        Command::Dev(args) => dev::run(args),
    }
}
