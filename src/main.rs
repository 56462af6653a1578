//! The `starkeep` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    actix::System::new().block_on(starkeep::cli::run())
}
