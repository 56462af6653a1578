//! `starkeep completions SHELL`: the script that teaches a shell our commands.

use std::io::{self, Write};

use clap::Command;
use clap_complete::{Shell, generate};

/// Writes the script of `command` for `shell` to `out`.
///
/// # Errors
/// Only when `out` cannot be written.
pub(crate) fn run(shell: Shell, mut command: Command, out: &mut dyn Write) -> io::Result<()> {
    let name = command.get_name().to_owned();
    // The generator panics when it cannot write, so it writes to memory first.
    let mut script = Vec::new();
    generate(shell, &mut command, name, &mut script);
    out.write_all(&script)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_learns_the_commands() {
        for shell in Shell::value_variants() {
            let command = Command::new("starkeep").subcommand(Command::new("verify"));
            let mut script = Vec::new();
            run(*shell, command, &mut script).unwrap();
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("starkeep") && script.contains("verify"), "{shell}");
        }
    }
}
