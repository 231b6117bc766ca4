//! What is typed: `up`, `down` and `status` of a service.

use anyhow::Result;

use super::postgres::Postgres;
use super::s3::S3;
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
    /// S3, by moto: objects in memory, any keys
    S3,
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
        Action::Up { service: Service::S3 } => {
            let server = S3::of(workspace);
            let url = server.up()?;
            println!("s3: runs at {url}; its objects are gone when it stops");
            println!("  its log lies in {}", server.folder().display());
            println!(
                "  export AWS_ENDPOINT_URL={url} AWS_ALLOW_HTTP=true AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any"
            );
            println!("  curl -X PUT {url}/state makes a bucket; `cargo xtask services down s3` stops it");
        }
        Action::Down { service: Service::S3 } => match S3::of(workspace).down()? {
            true => println!("s3: stopped"),
            false => println!("s3: was not running"),
        },
        Action::Status { service: Service::S3 } => match S3::of(workspace).running()? {
            Some(url) => println!("s3: runs at {url}"),
            None => println!("s3: does not run; `cargo xtask services up s3` starts it"),
        },
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
