//! What is typed: `up`, `down` and `status` of a service.

use anyhow::{Result, bail};

use super::kafka::{Brokers, Kafka};
use super::postgres::Postgres;
use super::registry::Registry;
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
    #[command(visible_alias = "start")]
    Up(Which),
    /// Stop it; its log stays under target/services, and the data of PostgreSQL
    #[command(visible_alias = "stop")]
    Down(Which),
    /// Say whether it runs, and where
    Status(Which),
}

#[derive(clap::Args)]
struct Which {
    /// Which one
    service: Service,
    /// Of Kafka: the cluster with so many brokers; both can run at the same time [default: 1]
    #[arg(long)]
    brokers: Option<Brokers>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Service {
    /// PostgreSQL 15
    Postgres,
    /// S3, by moto: objects in memory, any keys
    S3,
    /// Apache Kafka 4: new at each start, with passwords and certificates of its own
    Kafka,
    /// A schema registry with Confluent's API, by Apicurio: schemas in memory
    Registry,
}

impl Which {
    /// How many brokers are meant; only Kafka has any.
    fn brokers(&self) -> Result<Brokers> {
        if self.brokers.is_some() && self.service != Service::Kafka {
            bail!("--brokers is an option of the service kafka alone: leave it out");
        }
        Ok(self.brokers.unwrap_or(Brokers::One))
    }
}

/// Does what was typed.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    match &args.action {
        Action::Up(which) => up(workspace, which.service, which.brokers()?),
        Action::Down(which) => down(workspace, which.service, which.brokers()?),
        Action::Status(which) => status(workspace, which.service, which.brokers()?),
    }
}

fn up(workspace: &Workspace, service: Service, brokers: Brokers) -> Result<()> {
    match service {
        Service::Postgres => {
            let server = Postgres::of(workspace)?;
            let url = server.up()?;
            println!("postgres: runs at {url}");
            println!("  its data and log lie in {}", server.folder().display());
            println!("  psql '{url}' opens a shell; `cargo xtask services down postgres` stops it");
        }
        Service::S3 => {
            let server = S3::of(workspace);
            let url = server.up()?;
            println!("s3: runs at {url}; its objects are gone when it stops");
            println!("  its log lies in {}", server.folder().display());
            println!(
                "  export AWS_ENDPOINT_URL={url} AWS_ALLOW_HTTP=true AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any"
            );
            println!("  curl -X PUT {url}/state makes a bucket; `cargo xtask services down s3` stops it");
        }
        Service::Kafka => {
            let cluster = Kafka::of(workspace, brokers)?;
            let variables = cluster.up()?;
            println!("kafka: runs, {}; all is gone when it stops", of(&cluster));
            show(&variables);
            let folder = cluster.folder();
            println!(
                "  . {}/environment sets them; the folders of BROKERS hold each broker's `pid`,",
                folder.display()
            );
            println!(
                "  and `start`, which starts it again; `cargo xtask services down kafka{}` stops it",
                option(brokers)
            );
        }
        Service::Registry => {
            let variables = Registry::of(workspace)?.up()?;
            println!("registry: runs; its schemas are gone when it stops");
            show(&variables);
            println!("  `cargo xtask services down registry` stops it");
        }
    }
    Ok(())
}

fn down(workspace: &Workspace, service: Service, brokers: Brokers) -> Result<()> {
    let (name, ran) = match service {
        Service::Postgres => ("postgres", Postgres::of(workspace)?.down()?),
        Service::S3 => ("s3", S3::of(workspace).down()?),
        Service::Kafka => ("kafka", Kafka::of(workspace, brokers)?.down()?),
        Service::Registry => ("registry", Registry::of(workspace)?.down()?),
    };
    println!("{name}: {}", if ran { "stopped" } else { "was not running" });
    Ok(())
}

fn status(workspace: &Workspace, service: Service, brokers: Brokers) -> Result<()> {
    let address = |name: &str, url: Option<String>| match url {
        Some(url) => println!("{name}: runs at {url}"),
        None => println!("{name}: does not run; `cargo xtask services up {name}` starts it"),
    };
    match service {
        Service::Postgres => address("postgres", Postgres::of(workspace)?.running()?),
        Service::S3 => address("s3", S3::of(workspace).running()?),
        Service::Kafka => {
            let cluster = Kafka::of(workspace, brokers)?;
            let start = format!("`cargo xtask services up kafka{}`", option(brokers));
            match cluster.running() {
                Some(variables) => {
                    println!("kafka: runs, {}", of(&cluster));
                    show(&variables);
                }
                None if cluster.processes().iter().any(Option::is_some) => {
                    println!("kafka: runs in part, {}; {start} starts a new one", of(&cluster));
                }
                None => println!("kafka: does not run; {start} starts it"),
            }
        }
        Service::Registry => match Registry::of(workspace)?.running() {
            Some(variables) => {
                println!("registry: runs");
                show(&variables);
            }
            None => address("registry", None),
        },
    }
    Ok(())
}

/// Which processes a cluster has.
fn of(cluster: &Kafka) -> String {
    let broker = |(index, process): (usize, Option<String>)| match process {
        Some(process) => format!("broker {} as process {process}", index + 1),
        None => format!("broker {} not", index + 1),
    };
    cluster.processes().into_iter().enumerate().map(broker).collect::<Vec<_>>().join(", ")
}

fn option(brokers: Brokers) -> &'static str {
    match brokers {
        Brokers::One => "",
        Brokers::Three => " --brokers 3",
    }
}

fn show(variables: &[(String, String)]) {
    for (name, value) in variables {
        println!("  export {name}={value}");
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: Args,
    }

    fn typed(line: &str) -> Result<(Which, &'static str), String> {
        let words = std::iter::once("services").chain(line.split(' '));
        Typed::try_parse_from(words).map_err(|error| error.to_string()).map(|typed| match typed.args.action {
            Action::Up(which) => (which, "up"),
            Action::Down(which) => (which, "down"),
            Action::Status(which) => (which, "status"),
        })
    }

    #[test]
    fn one_broker_where_nothing_is_said() {
        let (which, action) = typed("start kafka").unwrap();
        assert_eq!((action, which.brokers().unwrap()), ("up", Brokers::One));
        let (which, action) = typed("stop kafka --brokers 3").unwrap();
        assert_eq!((action, which.brokers().unwrap()), ("down", Brokers::Three));
    }

    #[test]
    fn two_brokers_are_no_cluster() {
        let error = typed("up kafka --brokers 2").err().unwrap();
        assert!(error.contains("possible values: 1, 3"), "{error}");
    }

    #[test]
    fn only_kafka_has_brokers() {
        let (which, _) = typed("up registry --brokers 3").unwrap();
        let error = which.brokers().unwrap_err().to_string();
        assert!(error.starts_with("--brokers is an option of the service kafka alone"), "{error}");
    }
}
