//! The command line: one file a command. Data goes to stdout, everything else to stderr; exit 0 is
//! done, 1 failed, 2 wrong usage.

mod adopt;
mod audit;
mod backup;
mod batch;
mod completions;
mod config;
mod demo;
mod doctor;
mod drill;
mod kept;
mod key;
mod migrate;
mod mirror;
mod output;
mod restore;
mod serve;
mod status;
mod verify;
mod waiting;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::app::Role;
use crate::app::secrets::Secrets;
use crate::config::{Config, LoadOptions, log::Log};
use crate::domain::repository::RepositoryName;
use crate::telemetry::logging;
use crate::telemetry::traces::Traces;

/// Star a repository on GitHub and it is kept, whole and for good, on your own OneDev server.
#[derive(Debug, Parser)]
#[command(name = "starkeep", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    /// A configuration file on top of the defaults and config/default.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print data as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service
    Serve {
        /// Which part of it, where several processes share a Postgres
        #[arg(long, value_enum, default_value_t)]
        role: Role,
    },
    /// Run the whole service against a simulated GitHub and OneDev on this machine
    Demo {
        /// End when all is as it should be (exit 0) or is not (exit 1)
        #[arg(long)]
        once: bool,
    },
    /// Mirror repositories now, in this process; no server is needed
    Mirror {
        /// OWNER/NAME
        #[arg(required = true, value_name = "OWNER/NAME")]
        repositories: Vec<RepositoryName>,
        /// Delete and overwrite as much as upstream says, this once (see policy.mass_delete)
        #[arg(long)]
        allow_mass_delete: bool,
    },
    /// Queue every star of a user; a running `starkeep serve` mirrors them
    Batch {
        /// The user's login
        #[arg(long, value_name = "USER")]
        starred_by: String,
        /// Say what would be done, and queue nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Show how mirrors stand
    Status {
        /// OWNER/NAME; all of them without it
        #[arg(value_name = "OWNER/NAME")]
        repository: Option<RepositoryName>,
    },
    /// Compare every ref of both sides; exit 1 if any differs
    Verify {
        /// OWNER/NAME; all of them without it
        #[arg(value_name = "OWNER/NAME")]
        repositories: Vec<RepositoryName>,
    },
    /// Old tips that were kept: list them, or make a branch of one
    Kept {
        #[command(subcommand)]
        action: kept::Action,
    },
    /// Rebuild a lost database from OneDev alone
    Adopt {
        /// Say what would be done, and write nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Bring a mirror back out of OneDev, as it is or as it was proven at some time
    Restore(restore::Order),
    /// Restore some mirrors on trial; exit 1 if one is not whole
    Drill {
        /// How many, chosen by chance [default: drill.sample]
        #[arg(long, value_name = "N")]
        sample: Option<usize>,
    },
    /// Keys of the admin API
    Key {
        #[command(subcommand)]
        action: key::Action,
    },
    /// Check or export the audit log
    Audit {
        #[command(subcommand)]
        action: audit::Action,
    },
    /// Try everything that serving needs, and say how to mend what is amiss; exit 1 if serving would fail
    Doctor,
    /// Write the database's content into a file, while the service goes on
    Backup {
        /// A file that is not there yet
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Read such a file into an empty database, of either kind
    RestoreState {
        /// What `starkeep backup` wrote
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Bring the database up to date
    Migrate,
    /// Print the description of the HTTP API (OpenAPI)
    Openapi,
    /// Check or show the configuration
    Config {
        #[command(subcommand)]
        action: config::Action,
    },
    /// Write completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// What every command is given.
struct Given {
    options: LoadOptions,
    json: bool,
}

impl Given {
    /// The configuration with what reads its secrets again, and logging and traces as it asks for.
    async fn config(&self) -> anyhow::Result<(Config, Secrets, Option<Traces>)> {
        let mut secrets = Secrets::new(self.options.clone());
        let config = secrets.load().await?.config;
        let traces = Traces::new(&config.traces).map_err(anyhow::Error::msg)?;
        logging::init(&config.log, traces.as_ref(), std::io::stderr().is_terminal());
        Ok((config, secrets, traces))
    }

    /// The same for a command that talks to a person: only what is amiss is logged.
    async fn quiet_config(&self) -> anyhow::Result<Config> {
        let config = Secrets::new(self.options.clone()).load().await?.config;
        let mut log = config.log.clone();
        if log.level == Log::default().level {
            "warn".clone_into(&mut log.level);
        }
        logging::init(&log, None, std::io::stderr().is_terminal());
        Ok(config)
    }
}

/// Parses the arguments and runs the command. Must be called inside an actix system.
pub async fn run() -> ExitCode {
    let Cli { config, json, command } = Cli::parse();
    let given = Given { options: LoadOptions::of_process(config), json };
    match run_command(command, &given).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run_command(command: Command, given: &Given) -> anyhow::Result<u8> {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    match command {
        Command::Serve { role } => serve::run(given, role).await,
        Command::Demo { once } => demo::run(given, once).await,
        Command::Mirror { repositories, allow_mass_delete } => {
            mirror::run(given, repositories, allow_mass_delete).await
        }
        Command::Batch { starred_by, dry_run } => batch::run(given, starred_by, dry_run).await,
        Command::Status { repository } => status::run(given, repository).await,
        Command::Verify { repositories } => verify::run(given, repositories).await,
        Command::Kept { action } => kept::run(given, action).await,
        Command::Adopt { dry_run } => adopt::run(given, dry_run).await,
        Command::Restore(order) => restore::run(given, order).await,
        Command::Drill { sample } => drill::run(given, sample).await,
        Command::Key { action } => key::run(given, action).await,
        Command::Audit { action } => audit::run(given, action).await,
        Command::Doctor => doctor::run(given).await,
        Command::Backup { file } => backup::write(given, &file).await,
        Command::RestoreState { file } => backup::read(given, file).await,
        Command::Migrate => migrate::run(given).await,
        Command::Openapi => {
            output::json(&crate::app::openapi())?;
            Ok(0)
        }
        Command::Config { action } => {
            let loaded = Secrets::new(given.options.clone()).load().await;
            Ok(config::run(action, loaded, given.json, &mut out, &mut err)?)
        }
        Command::Completions { shell } => {
            completions::run(shell, Cli::command(), &mut out)?;
            Ok(0)
        }
    }
}
