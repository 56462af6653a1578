//! The `starkeep` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    in_one_arena();
    actix::System::new().block_on(starkeep::cli::run())
}

/// glibc gives each thread that allocates an arena of its own, and what was freed in one is of no use to
/// the others: 50,000 refs took 80 MB that way, and take 58 MB in a single one. The number is read from the
/// environment before `main`, so the program starts itself once more with it, as the same process. Where
/// that cannot be done it goes on as it is.
fn in_one_arena() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::os::unix::process::CommandExt as _;

        const ARENAS: &str = "MALLOC_ARENA_MAX";
        if std::env::var_os(ARENAS).is_some() {
            return;
        }
        let Ok(program) = std::env::current_exe() else { return };
        let mut arguments = std::env::args_os();
        let mut again = std::process::Command::new(program);
        if let Some(name) = arguments.next() {
            again.arg0(name);
        }
        let _ = again.args(arguments).env(ARENAS, "1").exec();
    }
}
