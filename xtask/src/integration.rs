//! `cargo xtask integration`: the tests that need services, with those started for them.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::process::cargo;
use crate::services::{Postgres, S3, python_with};
use crate::steps::Reported;
use crate::test;
use crate::workspace::Workspace;

/// Start the services that tests need, and run those tests; the last line is `N passed, N failed`.
#[derive(clap::Args)]
pub struct Args {
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
        Self { record: false, keep: false }
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
struct Services {
    postgres: Option<(Postgres, String, bool)>,
    python: Option<PathBuf>,
    s3: Option<Objects>,
}

/// S3, where it listens, and whether it ran before.
struct Objects {
    server: S3,
    url: String,
    ran: bool,
}

impl Services {
    /// The tests that can run.
    fn tests(&self) -> Vec<&'static str> {
        let postgres = self.postgres.is_some().then_some("velo_agrees_with_a_server");
        let python = self.python.is_some().then_some("state_files");
        postgres.into_iter().chain(python).chain(self.s3.is_some().then_some("s3::")).collect()
    }

    /// Stops what was started here.
    fn down(&self) -> Result<()> {
        if let Some((server, _, false)) = &self.postgres {
            server.down()?;
        }
        if let Some(Objects { server, ran: false, .. }) = &self.s3 {
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
    let url = server.up()?;
    println!("s3: {url}");
    Ok(Objects { server, url, ran })
}

/// For CI: where PostgreSQL or the Python of the yardsticks can be neither found nor installed, their tests are left out, and that is
/// said: what they compare with is recorded where it can be, and the ordinary tests compare with the record. Nothing else shows that
/// checkpoints in S3 work, so without that service this fails.
pub fn where_possible(workspace: &Workspace) -> Result<()> {
    let left_out = |what: &str, error: &anyhow::Error| {
        println!("integration: not run, for {what} is not to be had here: {error:#}")
    };
    let (s3, missing) = match s3(workspace) {
        Ok(s3) => (Some(s3), None),
        Err(error) => (None, Some(error)),
    };
    let services = Services {
        postgres: postgres(workspace).inspect_err(|error| left_out("PostgreSQL", error)).ok(),
        python: python(workspace).inspect_err(|error| left_out("Python with DuckDB and pyarrow", error)).ok(),
        s3,
    };
    if !services.tests().is_empty() {
        let outcome = with(workspace, &services, &Args::plain());
        services.down()?;
        if let Some(failure) = outcome?.failure {
            bail!("{failure}");
        }
    }
    match missing {
        Some(error) => Err(error).context("the tests of checkpoints in S3 cannot run"),
        None => Ok(()),
    }
}

/// Starts what is needed, runs the tests, and stops what was started here.
pub fn execute(workspace: &Workspace, args: &Args) -> Result<test::Report> {
    let services =
        Services { postgres: Some(postgres(workspace)?), python: Some(python(workspace)?), s3: Some(s3(workspace)?) };
    let report = with(workspace, &services, args);
    if !args.keep {
        services.down()?;
    }
    report
}

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
            "velo-job/integration,velo/integration",
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
    if args.record {
        command.env("VELO_RECORD", "1");
    }
    test::counted(command)
}
