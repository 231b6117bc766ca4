//! A schema registry that speaks Confluent's API: Apicurio, fetched by Maven, with its schemas in memory.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::daemon::{self, Daemon, free_ports, service_folder};
use super::java;
use crate::workspace::Workspace;

/// The newest that runs on Java 17.
const ARTIFACT: &str = "io.apicurio:apicurio-registry-app:2.6.13.Final:tar.gz:all";
/// The program in it.
const PROGRAM: &str = "apicurio-registry-app-2.6.13.Final-runner.jar";
/// Where it answers as Confluent's does; clients take this path as a part of the registry's address.
const API: &str = "/apis/ccompat/v7";
/// How long a start may take, on a machine that is busy with builds.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// The variable that says where it is, and the one that says in which folder `pid` and `start` lie.
const ADDRESS: &str = "VELO_REGISTRY";
const FOLDER: &str = "VELO_REGISTRY_FOLDER";

/// One registry, which lives in a folder and is empty at each start.
pub struct Registry {
    /// Where the program lies.
    root: PathBuf,
}

impl Registry {
    /// The registry of this workspace.
    pub fn of(workspace: &Workspace) -> Result<Self> {
        Ok(Self { root: service_folder(workspace, "registry")? })
    }

    /// Where its folder, its log and the program lie.
    pub fn folder(&self) -> &Path {
        &self.root
    }

    /// Starts it, unless it runs; how tests reach it, as variables.
    pub fn up(&self) -> Result<Vec<(String, String)>> {
        if let Some(variables) = self.running() {
            return Ok(variables);
        }
        self.down()?;
        let java = java::java()?;
        fs::create_dir_all(&self.root).with_context(|| format!("cannot make {}", self.root.display()))?;
        let program = java::unpacked(&self.root, ARTIFACT)?.join(PROGRAM);
        let server = self.daemon();
        fs::create_dir_all(server.folder()).with_context(|| format!("cannot make {}", server.folder().display()))?;
        let port = *free_ports(1)?.first().context("there is no free port")?;
        let outcome = start(&server, &java, &program, port);
        if outcome.is_err() {
            // The error has the end of the log, which stays.
            self.down()?;
        }
        outcome?;
        let variables = [
            (ADDRESS.to_owned(), format!("http://127.0.0.1:{port}{API}")),
            (FOLDER.to_owned(), server.folder().to_string_lossy().into_owned()),
        ];
        daemon::write_environment(&self.environment(), &variables)?;
        Ok(variables.into())
    }

    /// Stops it; whether it ran.
    pub fn down(&self) -> Result<bool> {
        let server = self.daemon();
        let ran = server.kill()?;
        if server.folder().exists() {
            fs::remove_dir_all(server.folder())
                .with_context(|| format!("cannot remove {}", server.folder().display()))?;
        }
        Ok(ran)
    }

    /// How tests reach it, where it runs: the process is alive, and it answers.
    pub fn running(&self) -> Option<Vec<(String, String)>> {
        let variables = daemon::read_environment(&self.environment())?;
        let (_, url) = variables.iter().find(|(name, _)| name == ADDRESS)?;
        let port = url.strip_prefix("http://127.0.0.1:")?.strip_suffix(API)?.parse().ok()?;
        let answers = self.daemon().process().is_some() && call(port, "GET", "/subjects", "").is_ok();
        answers.then_some(variables)
    }

    fn daemon(&self) -> Daemon {
        Daemon::new(self.root.join("server"), self.root.join("server.log"))
    }

    fn environment(&self) -> PathBuf {
        self.daemon().folder().join("environment")
    }
}

fn start(server: &Daemon, java: &Path, program: &Path, port: u16) -> Result<()> {
    let arguments = [
        "-Xmx256m".to_owned(),
        "-XX:+UseSerialGC".to_owned(),
        // It lives for a few calls: a quick start counts, and its speed does not.
        "-XX:TieredStopAtLevel=1".to_owned(),
        format!("-Djava.io.tmpdir={}", server.folder().display()),
        "-Dquarkus.http.host=127.0.0.1".to_owned(),
        format!("-Dquarkus.http.port={port}"),
        "-jar".to_owned(),
        program.to_string_lossy().into_owned(),
    ];
    server.prepare(java, &arguments)?;
    server.start()?;
    let only = std::slice::from_ref(server);
    daemon::wait("the schema registry", only, PATIENCE, || call(port, "GET", "/subjects", "").map(|_| true))?;
    // Confluent's allows what readers of the version before can read; this one allows everything until it is told.
    call(port, "PUT", "/config", r#"{"compatibility":"BACKWARD"}"#)?;
    Ok(())
}

/// One call; the body of an answer that says that all went well.
fn call(port: u16, method: &str, path: &str, body: &str) -> Result<String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let what = || format!("the registry at {address} does not answer");
    let mut stream = TcpStream::connect_timeout(&address, ANSWER).with_context(what)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let length = body.len();
    write!(
        stream,
        "{method} {API}{path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/vnd.schemaregistry.v1+json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .with_context(what)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(what)?;
    match answer.split(' ').nth(1) {
        Some("200") => Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()),
        _ => bail!("{method} {API}{path} was expected to be answered by 200, and this came: {answer}"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn answering(answer: &'static str) -> (u16, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut request, mut some) = (String::new(), [0; 512]);
            while !request.ends_with("{}") {
                let length = stream.read(&mut some).unwrap();
                request.push_str(std::str::from_utf8(&some[..length]).unwrap());
            }
            stream.write_all(answer.as_bytes()).unwrap();
            request
        });
        (port, server)
    }

    #[test]
    fn answers_are_read_to_their_end() {
        let (port, server) = answering("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[1,2]");
        assert_eq!(call(port, "PUT", "/config", "{}").unwrap(), "[1,2]");
        let request = server.join().unwrap();
        assert!(request.starts_with("PUT /apis/ccompat/v7/config HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("\r\nContent-Length: 2\r\n"), "{request}");
    }

    #[test]
    fn a_refusal_is_an_error() {
        let (port, server) = answering("HTTP/1.1 503 Service Unavailable\r\n\r\n");
        let error = call(port, "PUT", "/config", "{}").unwrap_err().to_string();
        assert!(error.contains("expected to be answered by 200, and this came: HTTP/1.1 503"), "{error}");
        server.join().unwrap();
    }

    #[test]
    fn what_is_not_there_does_not_run() {
        let registry = Registry { root: PathBuf::from("/nowhere/at/all") };
        assert!(registry.running().is_none());
        assert!(!registry.down().unwrap());
    }
}
