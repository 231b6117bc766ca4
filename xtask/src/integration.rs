//! `cargo xtask integration`: the tests that need services, with those started for them.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::process::cargo;
use crate::services::{Brokers, Kafka, Postgres, Registry, S3, python_with};
use crate::steps::Reported;
use crate::test;
use crate::workspace::Workspace;

/// Start the services that tests need, and run those tests; the last line is `N passed, N failed`.
#[derive(clap::Args)]
pub struct Args {
    /// Start these alone, and run the tests that need them; where none is named: postgres, python and s3
    services: Vec<Named>,
    /// Write PostgreSQL's answers down anew, for the tests that run without it
    #[arg(long)]
    record: bool,
    /// Leave the services running
    #[arg(long)]
    keep: bool,
}

impl Args {
    /// As CI runs them.
    pub fn plain() -> Self {
        Self { services: Vec::new(), record: false, keep: false }
    }

    /// What is to be started. Kafka takes time and memory, so it has to be asked for.
    fn services(&self) -> &[Named] {
        if self.services.is_empty() { &[Named::Postgres, Named::Python, Named::S3] } else { &self.services }
    }
}

/// What tests can need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Named {
    /// PostgreSQL 15
    Postgres,
    /// Python with DuckDB and pyarrow, as yardsticks
    Python,
    /// S3
    S3,
    /// Kafka with one broker
    Kafka,
    /// Kafka with three brokers, for tests in which brokers fail
    KafkaCluster,
    /// A schema registry, and Kafka with one broker beside it
    Registry,
}

impl Named {
    /// What the names of the tests begin with, or have in them.
    fn tests(self) -> &'static str {
        match self {
            Self::Postgres => "velo_agrees_with_a_server",
            Self::Python => "state_files",
            Self::S3 => "s3::",
            Self::Kafka => "kafka::",
            Self::KafkaCluster => "kafka_cluster::",
            Self::Registry => "registry::",
        }
    }
}

/// Runs them; the totals are the last line, whatever happens.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let report = execute(workspace, args)?;
    if let Some(failure) = &report.failure {
        println!("{failure}");
    }
    println!("{}", report.totals);
    if report.failure.is_some() { Err(Reported.into()) } else { Ok(()) }
}

/// What the tests need, as far as it is there.
#[derive(Default)]
struct Services {
    /// Those whose tests are run: one may need another that is not among them.
    asked: Vec<Named>,
    postgres: Option<(Postgres, String, bool)>,
    python: Option<PathBuf>,
    s3: Option<Objects>,
    kafka: Option<Cluster>,
    kafka_cluster: Option<Cluster>,
    registry: Option<Schemas>,
}

/// S3, where it listens, and whether it ran before.
struct Objects {
    server: S3,
    url: String,
    ran: bool,
}

/// Kafka, how tests reach it, and whether it ran before.
struct Cluster {
    server: Kafka,
    variables: Vec<(String, String)>,
    ran: bool,
}

/// A schema registry, how tests reach it, and whether it ran before.
struct Schemas {
    server: Registry,
    variables: Vec<(String, String)>,
    ran: bool,
}

impl Services {
    /// Starts one more.
    fn start(&mut self, workspace: &Workspace, service: Named) -> Result<()> {
        match service {
            Named::Postgres => self.postgres = Some(postgres(workspace)?),
            Named::Python => self.python = Some(python(workspace)?),
            Named::S3 => self.s3 = Some(s3(workspace)?),
            Named::Kafka => self.broker(workspace)?,
            Named::KafkaCluster => self.kafka_cluster = Some(kafka(workspace, Brokers::Three)?),
            // Its records are in topics.
            Named::Registry => {
                self.broker(workspace)?;
                self.registry = Some(registry(workspace)?);
            }
        }
        self.asked.push(service);
        Ok(())
    }

    /// Kafka with one broker, once.
    fn broker(&mut self, workspace: &Workspace) -> Result<()> {
        if self.kafka.is_none() {
            self.kafka = Some(kafka(workspace, Brokers::One)?);
        }
        Ok(())
    }

    /// The tests that are run.
    fn tests(&self) -> Vec<&'static str> {
        self.asked.iter().map(|service| service.tests()).collect()
    }

    /// What the tests of Kafka and of the registry are told.
    fn variables(&self) -> impl Iterator<Item = &(String, String)> {
        let clusters = self.kafka.iter().chain(&self.kafka_cluster).flat_map(|cluster| &cluster.variables);
        clusters.chain(self.registry.iter().flat_map(|registry| &registry.variables))
    }

    /// Stops what was started here.
    fn down(&self) -> Result<()> {
        if let Some((server, _, false)) = &self.postgres {
            server.down()?;
        }
        if let Some(Objects { server, ran: false, .. }) = &self.s3 {
            server.down()?;
        }
        for Cluster { server, .. } in self.kafka.iter().chain(&self.kafka_cluster).filter(|cluster| !cluster.ran) {
            server.down()?;
        }
        if let Some(Schemas { server, ran: false, .. }) = &self.registry {
            server.down()?;
        }
        Ok(())
    }
}

/// PostgreSQL, where it listens, and whether it ran before.
fn postgres(workspace: &Workspace) -> Result<(Postgres, String, bool)> {
    let server = Postgres::of(workspace)?;
    let ran = server.running()?.is_some();
    let url = server.up()?;
    println!("postgres: {url}");
    Ok((server, url, ran))
}

fn python(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.root.join("target/services/python");
    std::fs::create_dir_all(&folder)?;
    python_with(&folder, &[("duckdb", "duckdb"), ("pyarrow", "pyarrow")])
}

fn s3(workspace: &Workspace) -> Result<Objects> {
    let server = S3::of(workspace);
    let ran = server.running()?.is_some();
    let url = server.up().context("the tests of checkpoints in S3 cannot run")?;
    println!("s3: {url}");
    Ok(Objects { server, url, ran })
}

fn kafka(workspace: &Workspace, brokers: Brokers) -> Result<Cluster> {
    let server = Kafka::of(workspace, brokers)?;
    let ran = server.running().is_some();
    let variables = server.up().context("the tests of Kafka cannot run")?;
    println!("kafka: {}", server.folder().display());
    Ok(Cluster { server, variables, ran })
}

fn registry(workspace: &Workspace) -> Result<Schemas> {
    let server = Registry::of(workspace)?;
    let ran = server.running().is_some();
    let variables = server.up().context("the tests of schema registries cannot run")?;
    println!("registry: {}", server.folder().display());
    Ok(Schemas { server, variables, ran })
}

/// For CI: where PostgreSQL or the Python of the yardsticks can be neither found nor installed, their tests are left out, and that is
/// said: what they compare with is recorded where it can be, and the ordinary tests compare with the record. Nothing else shows that
/// checkpoints in S3, topics and the schemas of their records work, so without those services this fails.
pub fn where_possible(workspace: &Workspace) -> Result<()> {
    let (mut services, mut missing) = (Services::default(), Vec::new());
    for service in [Named::S3, Named::Kafka, Named::Registry, Named::KafkaCluster, Named::Postgres, Named::Python] {
        if let Err(error) = services.start(workspace, service) {
            match service {
                Named::Postgres => println!("integration: not run, for PostgreSQL is not to be had here: {error:#}"),
                Named::Python => {
                    println!(
                        "integration: not run, for Python with DuckDB and pyarrow is not to be had here: {error:#}"
                    )
                }
                _ => missing.push(error),
            }
        }
    }
    if !services.tests().is_empty() {
        let outcome = with(workspace, &services, &Args::plain());
        services.down()?;
        if let Some(failure) = outcome?.failure {
            bail!("{failure}");
        }
    }
    missing.into_iter().next().map_or(Ok(()), Err)
}

/// Starts what is needed, runs the tests, and stops what was started here.
pub fn execute(workspace: &Workspace, args: &Args) -> Result<test::Report> {
    let mut services = Services::default();
    let started = args.services().iter().try_for_each(|service| services.start(workspace, *service));
    let report = started.and_then(|()| with(workspace, &services, args));
    if !args.keep {
        services.down()?;
    }
    report
}

/// What the tests with services are built with.
pub(crate) const FEATURES: &str = "velo-job/integration,velo/integration";

fn with(workspace: &Workspace, services: &Services, args: &Args) -> Result<test::Report> {
    let mut command = cargo(
        &workspace.root,
        &[
            "test",
            "--package",
            "velo-job",
            "--package",
            "velo",
            "--features",
            FEATURES,
            "--test",
            "integration",
            "--no-fail-fast",
            "--",
        ],
    );
    command.args(services.tests());
    if let Some((_, url, _)) = &services.postgres {
        command.env("VELO_POSTGRES", url);
    }
    if let Some(python) = &services.python {
        command.env("VELO_PYTHON", python);
    }
    if let Some(Objects { server, url, .. }) = &services.s3 {
        // Whatever this machine says about AWS is not meant for the tests.
        let aws = |(name, _): &(String, String)| name.starts_with("AWS_");
        for (name, _) in std::env::vars().filter(aws) {
            command.env_remove(name);
        }
        command.env("AWS_ENDPOINT_URL", url).env("AWS_ALLOW_HTTP", "true").env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test").env("NO_PROXY", "127.0.0.1");
        command.env("VELO_S3_PYTHON", server.python()?);
    }
    let mut variables = services.variables().peekable();
    if variables.peek().is_some() {
        // What a machine says about proxies is not meant for services on loopback.
        command.env("NO_PROXY", "127.0.0.1");
    }
    command.envs(variables.map(|(name, value)| (name, value)));
    if args.record {
        command.env("VELO_RECORD", "1");
    }
    test::counted(command)
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

    fn typed(line: &str) -> Args {
        Typed::try_parse_from(line.split(' ')).unwrap().args
    }

    #[test]
    fn kafka_has_to_be_asked_for() {
        assert_eq!(typed("integration").services(), [Named::Postgres, Named::Python, Named::S3]);
        assert_eq!(Args::plain().services(), [Named::Postgres, Named::Python, Named::S3]);
        assert_eq!(typed("integration kafka").services(), [Named::Kafka]);
        assert_eq!(typed("integration kafka-cluster registry").services(), [Named::KafkaCluster, Named::Registry]);
    }

    #[test]
    fn no_name_of_tests_stands_in_another() {
        let all = <Named as clap::ValueEnum>::value_variants();
        for (one, other) in all.iter().flat_map(|one| all.iter().map(move |other| (one, other))) {
            assert!(one == other || !one.tests().contains(other.tests()), "{one:?} {other:?}");
        }
    }

    #[test]
    fn the_tests_are_those_that_were_asked_for() {
        let services = Services { asked: vec![Named::Registry], ..Services::default() };
        assert_eq!(services.tests(), ["registry::"], "a broker that the registry's tests need brings none of its own");
    }

    #[test]
    fn nothing_there_is_no_test() {
        let services = Services::default();
        assert!(services.tests().is_empty());
        assert_eq!(services.variables().count(), 0);
    }
}
