//! The `starkeep` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    with_little_memory();
    actix::System::new().block_on(starkeep::cli::run())
}

/// How glibc is to keep memory: each unless somebody has set it already.
///
/// It gives each thread that allocates an arena of its own, and what was freed in one is of no use to the others: 50,000
/// refs took 80 MB that way, and take 58 MB in a single one. And a large piece that was freed once makes it take all
/// large ones from between the small: twenty API keys, each hashed in 19 MiB, left 280 MB behind that way, and leave
/// nothing if pieces of 4 MiB and more are the system's own.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MALLOC: [(&str, &str); 2] = [("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "4194304")];

/// [`MALLOC`] is read from the environment before `main`, so the program starts itself once more with it, as the same
/// process. Where that cannot be done it goes on as it is.
fn with_little_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::os::unix::process::CommandExt as _;

        let missing = MALLOC.into_iter().filter(|(key, _)| std::env::var_os(key).is_none()).collect::<Vec<_>>();
        if missing.is_empty() {
            return;
        }
        let Ok(program) = std::env::current_exe() else { return };
        let mut arguments = std::env::args_os();
        let mut again = std::process::Command::new(program);
        if let Some(name) = arguments.next() {
            again.arg0(name);
        }
        let _ = again.args(arguments).envs(missing).exec();
    }
}
