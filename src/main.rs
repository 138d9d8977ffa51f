//! Hands the arguments to the command line and exits with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut a = std::env::args().skip(1);
    match a.next().as_deref() {
        Some("dev") => quipu::cli::dev::run(quipu::cli::dev::DevArgs {
            port: 19092,
            print_json: true,
            overrides: vec![],
        }),
        _ => quipu::cli::serve::run(quipu::cli::serve::ServeArgs {
            listen: vec!["127.0.0.1:19092".into()],
            data_dir: Some("/tmp/q/coredata".into()),
            ..Default::default()
        }),
    }
}
