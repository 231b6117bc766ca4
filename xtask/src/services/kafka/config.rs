//! What a broker is told: `server.properties`, its listeners and users, and how little it may use.

use std::path::Path;

/// The ports of one node: broker and controller in one process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) plaintext: u16,
    pub(super) sasl_ssl: u16,
    pub(super) controller: u16,
}

/// A user who may log in, and with what.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) name: &'static str,
    pub(super) password: String,
}

/// Who may log in. The passwords differ, so that a client that takes the wrong mechanism is refused.
#[derive(Debug, Clone)]
pub(super) struct Users {
    /// By PLAIN.
    pub(super) plain: User,
    /// By SCRAM-SHA-256 and SCRAM-SHA-512.
    pub(super) scram: User,
}

/// What all brokers are told: they are for tests, few things are kept small, and nothing that a test writes is removed by time.
const ALL: &str = "\
process.roles=broker,controller
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
# A misspelled topic has to fail.
auto.create.topics.enable=false
# A group begins at once; otherwise it waits three seconds for more members.
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
# A test may ask for a transaction that outlives a long stop.
transaction.max.timeout.ms=3600000
# Records carry the times of the test's events: old ones may not be removed, those of tomorrow not be refused.
log.retention.ms=-1
log.message.timestamp.after.max.ms=9223372036854775807
# Compaction is seen within seconds, and its buffer takes a little of the heap, not a quarter.
log.segment.bytes=16777216
log.cleaner.backoff.ms=500
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=8388608
num.network.threads=2
num.io.threads=2
num.replica.fetchers=1
num.recovery.threads.per.data.dir=1
background.threads=2
";

/// What a single broker is told beside that. A broker that was killed is let in again only when its last life has timed out, after
/// nine seconds by default.
const SINGLE: &str = "\
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
";

/// What several are told: a failure is noticed within seconds, and a busy machine is not taken for one.
const SEVERAL: &str = "\
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=6000
controller.quorum.election.timeout.ms=1000
controller.quorum.fetch.timeout.ms=2000
replica.lag.time.max.ms=5000
";

/// The listener with certificates and passwords. OAUTHBEARER takes tokens that nobody signed, which Kafka has for tests.
const SASL_SSL: &str = "\
listener.name.sasl_ssl.ssl.keystore.type=PEM
listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule \
required unsecuredLoginStringClaim_sub=\"broker\";
listener.name.sasl_ssl.oauthbearer.sasl.login.callback.handler.class=\
org.apache.kafka.common.security.oauthbearer.internals.unsecured.OAuthBearerUnsecuredLoginCallbackHandler
listener.name.sasl_ssl.oauthbearer.sasl.server.callback.handler.class=\
org.apache.kafka.common.security.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler
";

/// The file for node `node` (they count from one) of a cluster with these ports.
pub(super) fn server_properties(
    node: usize,
    cluster: &[Ports],
    data: &Path,
    keystore: &Path,
    users: &Users,
) -> Option<String> {
    let Ports { plaintext, sasl_ssl, controller } = cluster.get(node.checked_sub(1)?)?;
    let voters =
        cluster.iter().enumerate().map(|(index, ports)| format!("{}@127.0.0.1:{}", index + 1, ports.controller));
    let voters = voters.collect::<Vec<_>>().join(",");
    let clients = format!("PLAINTEXT://127.0.0.1:{plaintext},SASL_SSL://127.0.0.1:{sasl_ssl}");
    // With three, one may be missing and all goes on.
    let (copies, in_sync) = if cluster.len() < 3 { (1, 1) } else { (3, 2) };
    let User { name, password } = &users.plain;
    let times = if cluster.len() > 1 { SEVERAL } else { SINGLE };
    Some(format!(
        "node.id={node}\n\
         controller.quorum.voters={voters}\n\
         listeners={clients},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners={clients}\n\
         log.dirs={data}\n\
         default.replication.factor={copies}\n\
         min.insync.replicas={in_sync}\n\
         offsets.topic.replication.factor={copies}\n\
         transaction.state.log.replication.factor={copies}\n\
         transaction.state.log.min.isr={in_sync}\n\
         share.coordinator.state.topic.replication.factor={copies}\n\
         share.coordinator.state.topic.min.isr={in_sync}\n\
         {ALL}{times}{SASL_SSL}\
         listener.name.sasl_ssl.ssl.keystore.location={keystore}\n\
         listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
         user_{name}=\"{password}\";\n",
        data = data.display(),
        keystore = keystore.display(),
    ))
}

/// How SCRAM's user is given to the tool that prepares a node's folder, once for each mechanism.
pub(super) fn scram(users: &Users) -> Vec<String> {
    let User { name, password } = &users.scram;
    let of = |mechanism: &str| ["--add-scram".to_owned(), format!("{mechanism}=[name={name},password={password}]")];
    ["SCRAM-SHA-256", "SCRAM-SHA-512"].into_iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Users {
        let user = |name, password: &str| User { name, password: password.to_owned() };
        Users { plain: user("velo-plain", "pw-1"), scram: user("velo-scram", "pw-2") }
    }

    fn file(node: usize, nodes: u16) -> String {
        let ports = |node: u16| Ports { plaintext: 20_000 + node, sasl_ssl: 21_000 + node, controller: 22_000 + node };
        let cluster: Vec<Ports> = (1..=nodes).map(ports).collect();
        server_properties(node, &cluster, Path::new("/d/data"), Path::new("/d/tls/server.pem"), &users()).unwrap()
    }

    fn value<'a>(file: &'a str, key: &str) -> Option<&'a str> {
        let mut found = file.lines().filter_map(|line| line.split_once('=')).filter(|(name, _)| *name == key);
        let first = found.next().map(|(_, value)| value);
        assert_eq!(found.next(), None, "{key} stands there twice");
        first
    }

    #[test]
    fn one_broker() {
        let file = file(1, 1);
        for (key, expected) in [
            ("node.id", "1"),
            ("controller.quorum.voters", "1@127.0.0.1:22001"),
            ("advertised.listeners", "PLAINTEXT://127.0.0.1:20001,SASL_SSL://127.0.0.1:21001"),
            ("offsets.topic.replication.factor", "1"),
            ("transaction.state.log.replication.factor", "1"),
            ("transaction.state.log.min.isr", "1"),
            ("auto.create.topics.enable", "false"),
            ("group.initial.rebalance.delay.ms", "0"),
            ("log.dirs", "/d/data"),
        ] {
            assert_eq!(value(&file, key), Some(expected), "{key}");
        }
        assert_eq!(value(&file, "broker.session.timeout.ms"), Some("3000"));
    }

    #[test]
    fn three_brokers() {
        let file = file(2, 3);
        for (key, expected) in [
            ("node.id", "2"),
            ("controller.quorum.voters", "1@127.0.0.1:22001,2@127.0.0.1:22002,3@127.0.0.1:22003"),
            ("listeners", "PLAINTEXT://127.0.0.1:20002,SASL_SSL://127.0.0.1:21002,CONTROLLER://127.0.0.1:22002"),
            ("default.replication.factor", "3"),
            ("min.insync.replicas", "2"),
            ("offsets.topic.replication.factor", "3"),
            ("transaction.state.log.min.isr", "2"),
            ("broker.session.timeout.ms", "6000"),
        ] {
            assert_eq!(value(&file, key), Some(expected), "{key}");
        }
    }

    #[test]
    fn every_line_is_a_setting_or_a_comment() {
        for line in file(3, 3).lines() {
            assert!(line.starts_with("# ") || line.contains('=') && !line.starts_with(' '), "{line}");
        }
    }

    #[test]
    fn nothing_listens_to_other_machines() {
        let listeners = file(1, 3);
        let listeners = value(&listeners, "listeners").unwrap();
        assert!(listeners.split(',').all(|listener| listener.contains("://127.0.0.1:")), "{listeners}");
    }

    #[test]
    fn users_by_their_mechanism() {
        let file = file(1, 1);
        let plain = value(&file, "listener.name.sasl_ssl.plain.sasl.jaas.config").unwrap();
        assert!(plain.ends_with("PlainLoginModule required user_velo-plain=\"pw-1\";"), "{plain}");
        assert!(!file.contains("pw-2"));
        let expected = [
            "--add-scram",
            "SCRAM-SHA-256=[name=velo-scram,password=pw-2]",
            "--add-scram",
            "SCRAM-SHA-512=[name=velo-scram,password=pw-2]",
        ];
        assert_eq!(scram(&users()), expected);
    }

    #[test]
    fn a_node_that_is_not_there() {
        assert!(server_properties(1, &[], Path::new("/d"), Path::new("/k"), &users()).is_none());
        assert!(server_properties(0, &[], Path::new("/d"), Path::new("/k"), &users()).is_none());
    }
}
