//! Brokers that want to know who asks.

use super::broker::{Broker, Record};
use super::{job, rows, run};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("`cargo xtask integration kafka` sets {name}"))
}

/// Who logs in how, as properties.
fn login(mechanism: &str, user: &str, password: &str) -> String {
    let ca = variable("VELO_KAFKA_CA");
    let who = match mechanism {
        "OAUTHBEARER" => {
            "'enable.sasl.oauthbearer.unsecure.jwt' = 'true', 'sasl.oauthbearer.config' = 'principal=velo'".to_owned()
        }
        _ => format!("'sasl.username' = '{user}', 'sasl.password' = '{password}'"),
    };
    format!("'security.protocol' = 'SASL_SSL', 'ssl.ca.location' = '{ca}', 'sasl.mechanism' = '{mechanism}', {who}")
}

fn script(broker: &Broker, topic: &str, login: &str) -> crate::support::Folder {
    let servers = variable("VELO_KAFKA_SASL_SSL");
    job(
        broker,
        &format!(
            "CREATE STREAM t (id BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '{servers}', topic = '{topic}',
               'scan.bounded' = 'latest', {login});
             SELECT id FROM t;"
        ),
    )
}

/// A job that has nothing to read ends while its connections are made: those are left where they are, whatever they are about.
#[test]
fn a_job_that_ends_while_it_logs_in_ends_well() {
    let broker = Broker::new();
    let topic = broker.topic(1, &[]);
    let (servers, user) = (variable("VELO_KAFKA_SASL_SSL"), variable("VELO_KAFKA_SCRAM_USER"));
    let login = login("SCRAM-SHA-256", &user, &variable("VELO_KAFKA_SCRAM_PASSWORD"));
    let stream = |number| {
        format!(
            "CREATE STREAM t{number} (id BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '{servers}', topic = '{topic}',
               'scan.bounded' = 'latest', {login});"
        )
    };
    let streams = (0..24).map(stream).collect::<String>();
    let all = (0..24).map(|number| format!("SELECT id FROM t{number}")).collect::<Vec<_>>().join(" UNION ALL ");
    let folder = job(&broker, &format!("{streams} {all};"));
    // Of four such runs one crashed.
    for _ in 0..6 {
        assert_eq!(rows(&run(&folder)), [""; 0]);
    }
}

#[test]
fn each_way_to_log_in_reads_a_topic() {
    let broker = Broker::new();
    let topic = broker.topic(1, &[]);
    broker.put(&topic, &[Record::value("{\"id\":1}")]);
    let [plain, scram] = ["PLAIN", "SCRAM"]
        .map(|kind| (variable(&format!("VELO_KAFKA_{kind}_USER")), variable(&format!("VELO_KAFKA_{kind}_PASSWORD"))));
    for (mechanism, (user, password)) in
        [("PLAIN", &plain), ("SCRAM-SHA-256", &scram), ("SCRAM-SHA-512", &scram), ("OAUTHBEARER", &plain)]
    {
        let folder = script(&broker, &topic, &login(mechanism, user, password));
        assert_eq!(rows(&run(&folder)), ["{\"id\":1}"], "{mechanism}");
    }
}

#[test]
fn who_is_refused_is_told_why_and_no_password_is_shown() {
    let broker = Broker::new();
    let topic = broker.topic(1, &[]);
    let user = variable("VELO_KAFKA_SCRAM_USER");
    let refused = run(&script(&broker, &topic, &login("SCRAM-SHA-256", &user, "hunter2")));
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("'sasl.password'"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
    assert!(refused.stderr.contains("SASL authentication error"), "{}", refused.stderr);
    let folder = script(&broker, &topic, &login("PLAIN", &user, "hunter2"));
    let explained = folder.velo(&["explain", "q.sql"]);
    assert!(!explained.stdout.contains("hunter2") && !explained.stderr.contains("hunter2"), "{}", explained.stdout);
    // TLS is spoken to a port that has none.
    let servers = format!("'bootstrap.servers' = '{}'", broker.servers);
    let other = script(&broker, &topic, "'security.protocol' = 'SSL'");
    let text =
        other.read("q.sql").replace(&format!("'bootstrap.servers' = '{}'", variable("VELO_KAFKA_SASL_SSL")), &servers);
    let spoken = run(&other.file("q.sql", text));
    assert_eq!(spoken.code, 1);
    assert!(spoken.stderr.contains("the port is the one for TLS"), "{}", spoken.stderr);
    let mistaken = run(&script(&broker, &topic, "'security.protocol' = 'SASL_SLS',\n'sasl.password' = 'hunter2'"));
    assert_eq!(mistaken.code, 2);
    assert!(
        mistaken.stderr.contains("'security.protocol'") && !mistaken.stderr.contains("hunter2"),
        "{}",
        mistaken.stderr
    );
}
