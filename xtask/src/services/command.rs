//! What is typed: `up`, `down` and `status` of a service.

use anyhow::Result;

use super::postgres::Postgres;
use crate::workspace::Workspace;

/// Start, stop or look at a real service for tests, on a free port of this machine alone.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Start it (installing it where it is missing and that is allowed), and say where it listens
    Up {
        /// Which one
        service: Service,
    },
    /// Stop it; its data stays under target/services
    Down {
        /// Which one
        service: Service,
    },
    /// Say whether it runs, and where
    Status {
        /// Which one
        service: Service,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Service {
    /// PostgreSQL 15
    Postgres,
}

/// Does what was typed.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    match args.action {
        Action::Up { service: Service::Postgres } => {
            let server = Postgres::of(workspace)?;
            let url = server.up()?;
            println!("postgres: runs at {url}");
            println!("  its data and log lie in {}", server.folder().display());
            println!("  psql '{url}' opens a shell; `cargo xtask services down postgres` stops it");
        }
        Action::Down { service: Service::Postgres } => match Postgres::of(workspace)?.down()? {
            true => println!("postgres: stopped"),
            false => println!("postgres: was not running"),
        },
        Action::Status { service: Service::Postgres } => match Postgres::of(workspace)?.running()? {
            Some(url) => println!("postgres: runs at {url}"),
            None => println!("postgres: does not run; `cargo xtask services up postgres` starts it"),
        },
    }
    Ok(())
}
