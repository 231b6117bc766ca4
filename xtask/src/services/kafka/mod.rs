//! Apache Kafka in KRaft mode: one broker, or three of which tests kill some; fetched by Maven, started on free loopback ports.

mod certificates;
mod config;
mod election;
mod metadata;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use self::config::{Ports, User, Users};
use super::daemon::{self, Daemon, free_ports, service_folder};
use super::java;
use crate::process::display;
use crate::workspace::Workspace;

/// Kafka's version and what it runs on.
const JARS: &str = include_str!("jars.xml");
/// How long a start may take, on a machine that is busy with builds.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many brokers a cluster has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Brokers {
    /// For most tests
    #[value(name = "1")]
    One,
    /// With three copies of everything, for tests of failures
    #[value(name = "3")]
    Three,
}

impl Brokers {
    fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Three => 3,
        }
    }

    /// What the variables begin with: both clusters can run at the same time.
    fn prefix(self) -> &'static str {
        match self {
            Self::One => "VELO_KAFKA",
            Self::Three => "VELO_KAFKA_CLUSTER",
        }
    }
}

/// One cluster, which lives in a folder and is new at each start.
pub struct Kafka {
    brokers: Brokers,
    /// Where the jars lie, which all clusters share, and the logs, which outlive them.
    root: PathBuf,
}

impl Kafka {
    /// The cluster of this workspace with so many brokers.
    pub fn of(workspace: &Workspace, brokers: Brokers) -> Result<Self> {
        Ok(Self { brokers, root: service_folder(workspace, "kafka")? })
    }

    /// Where the brokers' folders lie while they run.
    pub fn folder(&self) -> PathBuf {
        self.root.join(format!("cluster-of-{}", self.brokers.count()))
    }

    /// Starts it, unless it runs; how tests reach it, as variables.
    pub fn up(&self) -> Result<Vec<(String, String)>> {
        if let Some(variables) = self.running() {
            return Ok(variables);
        }
        // Half a cluster may be left, by a test that killed a broker.
        self.down()?;
        let java = java::java()?;
        fs::create_dir_all(&self.root).with_context(|| format!("cannot make {}", self.root.display()))?;
        let jars = java::jars(&self.root, JARS)?;
        self.make_folder()?;
        let outcome = self.start(&java, &jars);
        if outcome.is_err() {
            // The error has the end of the logs, which stay.
            self.down()?;
        }
        outcome
    }

    /// Stops it and removes its data, its certificates and its passwords; whether it ran.
    pub fn down(&self) -> Result<bool> {
        let mut ran = false;
        for broker in self.daemons() {
            ran |= broker.kill()?;
        }
        let folder = self.folder();
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        Ok(ran)
    }

    /// How tests reach it, where it runs: every process is alive, and every broker knows all of them.
    pub fn running(&self) -> Option<Vec<(String, String)>> {
        let variables = daemon::read_environment(&self.environment())?;
        let ports = self.ports_in(&variables);
        let alive = self.daemons().iter().all(|broker| broker.process().is_some());
        (alive && self.ready(&ports?).is_ok_and(|ready| ready)).then_some(variables)
    }

    /// The processes of its brokers, in their order; none for those that are dead.
    pub fn processes(&self) -> Vec<Option<String>> {
        self.daemons().iter().map(Daemon::process).collect()
    }

    /// Ends one broker at once, as a crash does; they are counted from 1, as their ids are.
    pub fn kill_broker(&self, node: usize) -> Result<()> {
        if !self.daemon(node)?.kill()? {
            bail!("broker {node} was to be killed, and does not run");
        }
        Ok(())
    }

    /// Starts a broker that was killed, with its ports and data, and waits until all brokers know each other again.
    pub fn start_broker(&self, node: usize) -> Result<()> {
        self.daemon(node)?.start()?;
        let ports = self.ports()?;
        daemon::wait("a broker of Kafka's", &self.daemons(), PATIENCE, || self.ready(&ports))
    }

    /// Asks the cluster to give each partition to the first of its replicas as the leader, where that one is in sync. It does so soon
    /// after it has answered.
    pub fn prefer_leaders(&self) -> Result<()> {
        let ports = self.ports()?;
        let port = ports.first().context("a cluster without brokers")?;
        election::prefer_leaders(*port)
    }

    fn daemon(&self, node: usize) -> Result<Daemon> {
        let daemon = node.checked_sub(1).and_then(|index| self.daemons().into_iter().nth(index));
        daemon.with_context(|| format!("there is no broker {node}"))
    }

    /// Where the brokers listen without certificates, in their order; an error where the cluster was not started.
    fn ports(&self) -> Result<Vec<u16>> {
        let variables = daemon::read_environment(&self.environment()).context("the cluster was not started")?;
        self.ports_in(&variables).context("the cluster does not say where it listens")
    }

    fn ports_in(&self, variables: &[(String, String)]) -> Option<Vec<u16>> {
        let bootstrap = format!("{}_PLAINTEXT", self.brokers.prefix());
        let (_, bootstrap) = variables.iter().find(|(name, _)| *name == bootstrap)?;
        bootstrap.split(',').map(|address| address.rsplit_once(':')?.1.parse().ok()).collect()
    }

    fn daemons(&self) -> Vec<Daemon> {
        let count = self.brokers.count();
        let broker = |node: usize| {
            let log = self.root.join(format!("broker-{node}-of-{count}.log"));
            Daemon::new(self.folder().join(format!("broker-{node}")), log)
        };
        (1..=count).map(broker).collect()
    }

    fn environment(&self) -> PathBuf {
        self.folder().join("environment")
    }

    /// An empty folder that nobody else may read: it has keys and passwords.
    fn make_folder(&self) -> Result<()> {
        let folder = self.folder();
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        fs::write(folder.join("log4j2.properties"), include_str!("log4j2.properties"))
            .with_context(|| format!("cannot write into {}", folder.display()))
    }

    fn start(&self, java: &Path, jars: &Path) -> Result<Vec<(String, String)>> {
        let (folder, brokers) = (self.folder(), self.daemons());
        let certificates = certificates::make(&folder.join("tls"))?;
        let user = |name| anyhow::Ok(User { name, password: random()? });
        let users = Users { plain: user("velo-plain")?, scram: user("velo-scram")? };
        let cluster: Vec<Ports> = ports(brokers.len())?;
        for (index, broker) in brokers.iter().enumerate() {
            fs::create_dir_all(broker.folder())
                .with_context(|| format!("cannot make {}", broker.folder().display()))?;
            let data = broker.folder().join("data");
            let text = config::server_properties(index + 1, &cluster, &data, &certificates.keystore, &users)
                .context("there is a broker without ports")?;
            let properties = properties(broker);
            fs::write(&properties, text).with_context(|| format!("cannot write {}", properties.display()))?;
        }
        self.format(java, jars, &users)?;
        for broker in &brokers {
            let properties = properties(broker).to_string_lossy().into_owned();
            let mut arguments = self.arguments(jars);
            arguments.extend(["kafka.Kafka".to_owned(), properties]);
            broker.prepare(java, &arguments)?;
            broker.start()?;
        }
        let what = if brokers.len() == 1 { "Kafka's broker" } else { "a broker of Kafka's" };
        let ports: Vec<u16> = cluster.iter().map(|ports| ports.plaintext).collect();
        daemon::wait(what, &brokers, PATIENCE, || self.ready(&ports))?;
        let variables = variables(self.brokers.prefix(), &cluster, &certificates.authority, &users, &brokers);
        // Written last: what it says is ready.
        daemon::write_environment(&self.environment(), &variables)?;
        Ok(variables)
    }

    /// Whether every broker knows all of them to be ready.
    fn ready(&self, ports: &[u16]) -> Result<bool> {
        let known = ports.iter().map(|port| metadata::brokers(*port)).collect::<Result<Vec<usize>>>()?;
        Ok(known.iter().all(|known| *known == self.brokers.count()))
    }

    /// What Java is told before the name of a program. The heap is what the tests need; the compilers are those of a real broker.
    fn arguments(&self, jars: &Path) -> Vec<String> {
        let heap = match self.brokers {
            Brokers::One => "-Xmx512m",
            Brokers::Three => "-Xmx384m",
        };
        let log = format!("-Dlog4j2.configurationFile={}", self.folder().join("log4j2.properties").display());
        let jars = jars.join("*").to_string_lossy().into_owned();
        ["-Xms128m", heap, "-XX:+UseSerialGC", &log, "-cp", &jars].map(str::to_owned).into()
    }

    /// Prepares the folders of all nodes, at the same time: it takes a few seconds of starting Java for each.
    fn format(&self, java: &Path, jars: &Path, users: &Users) -> Result<()> {
        // An identifier is 16 bytes in base64url; of its last character only two bits count.
        let id: String = random()?.chars().take(21).chain(['A']).collect();
        let start = |broker: &Daemon| -> Result<Child> {
            let mut format = Command::new(java);
            format.args(self.arguments(jars)).args(["kafka.tools.StorageTool", "format", "-t", &id, "-c"]);
            format.arg(properties(broker)).args(config::scram(users));
            format.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            format.spawn().with_context(|| format!("cannot start `{}`", display(&format)))
        };
        let begun: Vec<Child> = self.daemons().iter().map(start).collect::<Result<_>>()?;
        for (index, child) in begun.into_iter().enumerate() {
            let output = child.wait_with_output()?;
            if !output.status.success() {
                let said = [output.stdout, output.stderr].concat();
                bail!("broker {} could not be prepared:\n{}", index + 1, String::from_utf8_lossy(&said));
            }
        }
        Ok(())
    }
}

fn properties(broker: &Daemon) -> PathBuf {
    broker.folder().join("server.properties")
}

fn ports(brokers: usize) -> Result<Vec<Ports>> {
    let ports = free_ports(brokers * 3)?;
    let of = |chunk: &[u16]| match *chunk {
        [plaintext, sasl_ssl, controller] => Ok(Ports { plaintext, sasl_ssl, controller }),
        _ => bail!("a broker needs three ports"),
    };
    ports.chunks(3).map(of).collect()
}

/// 128 bits that nobody can guess, as hexadecimal digits.
fn random() -> Result<String> {
    let mut bytes = [0; 16];
    let mut source = fs::File::open("/dev/urandom").context("cannot open /dev/urandom")?;
    source.read_exact(&mut bytes).context("cannot read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// How tests reach a cluster. Processes change when a test starts a broker again, so their numbers are in files: each broker's folder
/// has `pid`, and `start`, which runs the broker on the same ports with the same data.
fn variables(
    prefix: &str,
    cluster: &[Ports],
    authority: &Path,
    users: &Users,
    brokers: &[Daemon],
) -> Vec<(String, String)> {
    let addresses = |port: fn(&Ports) -> u16| {
        cluster.iter().map(|ports| format!("127.0.0.1:{}", port(ports))).collect::<Vec<_>>().join(",")
    };
    let folders: Vec<_> = brokers.iter().map(|broker| broker.folder().to_string_lossy()).collect();
    let variables = [
        ("PLAINTEXT", addresses(|ports| ports.plaintext)),
        ("SASL_SSL", addresses(|ports| ports.sasl_ssl)),
        ("CA", authority.to_string_lossy().into_owned()),
        ("PLAIN_USER", users.plain.name.to_owned()),
        ("PLAIN_PASSWORD", users.plain.password.clone()),
        ("SCRAM_USER", users.scram.name.to_owned()),
        ("SCRAM_PASSWORD", users.scram.password.clone()),
        ("BROKERS", folders.join(":")),
    ];
    variables.into_iter().map(|(name, value)| (format!("{prefix}_{name}"), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tests_are_told() {
        let ports = |plaintext| Ports { plaintext, sasl_ssl: plaintext + 1, controller: plaintext + 2 };
        let user = |name, password: &str| User { name, password: password.to_owned() };
        let users = Users { plain: user("p", "one"), scram: user("s", "two") };
        let brokers = ["/k/broker-1", "/k/broker-2"].map(|folder| Daemon::new(folder.into(), "/k/log".into()));
        let found = variables("VELO_KAFKA", &[ports(10), ports(20)], Path::new("/k/ca.pem"), &users, &brokers);
        let found: Vec<String> = found.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = [
            "VELO_KAFKA_PLAINTEXT=127.0.0.1:10,127.0.0.1:20",
            "VELO_KAFKA_SASL_SSL=127.0.0.1:11,127.0.0.1:21",
            "VELO_KAFKA_CA=/k/ca.pem",
            "VELO_KAFKA_PLAIN_USER=p",
            "VELO_KAFKA_PLAIN_PASSWORD=one",
            "VELO_KAFKA_SCRAM_USER=s",
            "VELO_KAFKA_SCRAM_PASSWORD=two",
            "VELO_KAFKA_BROKERS=/k/broker-1:/k/broker-2",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn passwords_are_new_each_time() {
        let one = random().unwrap();
        assert_eq!(one.len(), 32);
        assert_ne!(one, random().unwrap());
    }

    #[test]
    fn what_is_not_there_does_not_run() {
        let cluster = Kafka { brokers: Brokers::Three, root: PathBuf::from("/nowhere/at/all") };
        assert!(cluster.running().is_none());
        assert_eq!(cluster.processes(), [None, None, None]);
        assert!(!cluster.down().unwrap());
    }
}
