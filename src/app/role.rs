//! Which part of the service a process is.

use anyhow::ensure;

use crate::config::database::Database;

/// What `serve` does in this process. Whatever the role, several processes on one Postgres share the work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Everything
    #[default]
    All,
    /// Take deliveries and answer the admin API; leave jobs and everything that comes by the clock to workers
    Web,
    /// Work on jobs and see to everything that comes by the clock; serve health and metrics alone
    Worker,
}

impl Role {
    /// The word for it, as on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Web => "web",
            Self::Worker => "worker",
        }
    }

    /// Whether jobs are worked on here.
    pub(super) fn works(self) -> bool {
        self != Self::Web
    }

    /// A part of the service needs a database that the other part can open as well.
    pub(super) fn fits(self, database: &Database) -> anyhow::Result<()> {
        ensure!(
            self == Self::All || database.is_shared(),
            "`--role {}` needs Postgres: a SQLite file serves one process, which has to do everything. \
             Leave --role out, or name a Postgres in database.url",
            self.as_str()
        );
        Ok(())
    }
}
