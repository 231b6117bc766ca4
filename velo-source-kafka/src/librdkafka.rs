//! The properties of librdkafka: they go to it as they are, and are checked by it when the script is.

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use velo_core::properties::{Entry, Options, PropertyError, PropertySpec};
use velo_core::secret::Secret;
use velo_core::suggest::nearest;

/// What a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It reads.
    Consumer,
    /// It writes.
    Producer,
}

impl Role {
    fn own(self) -> &'static [&'static str] {
        match self {
            Self::Consumer => CONSUMER,
            Self::Producer => PRODUCER,
        }
    }

    /// Whether a property means something to such a client.
    pub(crate) fn knows(self, key: &str) -> bool {
        !self.other().0.contains(&key)
    }

    fn other(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Consumer => (PRODUCER, "sinks"),
            Self::Producer => (CONSUMER, "sources and tables"),
        }
    }
}

/// A property with its value, which may be a password.
pub(crate) type Passed = Vec<(String, Secret)>;

/// Takes what is librdkafka's out of `options`, also under the prefix `properties.` that Flink's scripts give it. Mistakes are noted:
/// values that librdkafka refuses, properties that Velo sets itself, and names that are nearly those of one.
pub(crate) fn take(options: &mut Options, role: Role, own: &[&'static PropertySpec]) -> Passed {
    let mut passed = Passed::new();
    let mut entries = options.take_prefix("properties.");
    let plain = options.keys().map(str::to_owned).collect::<Vec<_>>();
    for key in plain {
        let known = [CLIENT, CONSUMER, PRODUCER].iter().any(|names| names.contains(&key.as_str()));
        if known || RESERVED.iter().any(|(name, _)| *name == key) || is_misspelt(&key, role, own) {
            entries.extend(options.take(&key));
        }
    }
    let security = entries.iter().find(|entry| entry.key.eq_ignore_ascii_case(SECURITY));
    let security = security.map_or(String::new(), |entry| entry.value.trim().to_ascii_lowercase());
    for entry in entries {
        match checked(&entry, role, own).and_then(|pair| means_something(&entry, &security).map(|()| pair)) {
            Ok(pair) => passed.push(pair),
            Err(error) => options.error(error),
        }
    }
    passed
}

/// What says whether connections are encrypted and logged in.
const SECURITY: &str = "security.protocol";

/// The mechanisms that the library is built with.
const MECHANISMS: [&str; 4] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];

/// Whether a property of security has an effect beside the `security` protocol of the script. librdkafka passes over those of a
/// log-in or of TLS where the protocol has none, and would connect without them.
fn means_something(entry: &Entry, security: &str) -> Result<(), PropertyError> {
    let key = entry.key.to_ascii_lowercase();
    let error = |message: String, help: String| PropertyError {
        key: entry.key.clone(),
        origin: Some(entry.origin),
        message,
        help: Some(help),
    };
    let needs = |one: &str, other: &str, what: &str| match security {
        // That one is refused by itself.
        said if !["", "plaintext", "ssl", "sasl_plaintext", "sasl_ssl"].contains(&said) => Ok(()),
        said if said == one || said == other => Ok(()),
        said => {
            let set = match said {
                "" => format!("'{SECURITY}' is not set"),
                said => format!("'{SECURITY}' is '{said}'"),
            };
            let (one, other) = (one.to_ascii_uppercase(), other.to_ascii_uppercase());
            Err(error(
                format!("'{key}' means nothing here: {set}, and connections are {what}"),
                format!("set '{SECURITY}' = '{one}' or '{other}', or leave '{key}' out"),
            ))
        }
    };
    if key.starts_with("sasl.") {
        needs("sasl_ssl", "sasl_plaintext", "not logged in")?;
    }
    if key.starts_with("ssl.") {
        needs("sasl_ssl", "ssl", "not encrypted")?;
    }
    if matches!(key.as_str(), "sasl.mechanism" | "sasl.mechanisms") && !MECHANISMS.contains(&entry.value.as_str()) {
        let message = format!("'{}' is no mechanism of a log-in that is known here", entry.value);
        return Err(error(message, one_of(&MECHANISMS, &entry.value)));
    }
    Ok(())
}

/// Whether the name that is nearest to this one is librdkafka's.
fn is_misspelt(key: &str, role: Role, own: &[&'static PropertySpec]) -> bool {
    suggestion(key, role, own).is_some_and(|near| !is_own(near, own))
}

fn is_own(name: &str, own: &[&'static PropertySpec]) -> bool {
    own.iter().any(|spec| spec.key == name || spec.aliases.contains(&name))
}

fn suggestion<'a>(key: &str, role: Role, own: &[&'a PropertySpec]) -> Option<&'a str> {
    let ours = own.iter().flat_map(|spec| std::iter::once(spec.key).chain(spec.aliases.iter().copied()));
    nearest(key, ours.chain(CLIENT.iter().copied()).chain(role.own().iter().copied()))
}

fn checked(entry: &Entry, role: Role, own: &[&'static PropertySpec]) -> Result<(String, Secret), PropertyError> {
    let key = entry.key.to_ascii_lowercase();
    let error = |message: String, help: Option<String>| PropertyError {
        key: entry.key.clone(),
        origin: Some(entry.origin),
        message,
        help,
    };
    if let Some((name, why)) = RESERVED.iter().find(|(name, _)| *name == key) {
        return Err(error(format!("'{name}' is set by Velo itself: {why}"), Some("leave it out".to_owned())));
    }
    let (others, of) = role.other();
    if others.contains(&key.as_str()) {
        return Err(error(format!("'{key}' is a property of librdkafka for {of}"), Some("leave it out".to_owned())));
    }
    if !CLIENT.contains(&key.as_str()) && !role.own().contains(&key.as_str()) {
        let help = suggestion(&key, role, own).map(|near| format!("did you mean '{near}'?"));
        return Err(error(format!("librdkafka has no property '{key}'"), help));
    }
    let mut config = ClientConfig::new();
    config.set(&key, &entry.value);
    match config.create_native_config() {
        Ok(_) => Ok((key, Secret::new(&entry.value))),
        Err(KafkaError::ClientConfig(_, why, ..)) => {
            let words = WORDS.iter().find(|(name, _)| *name == key);
            Err(error(refusal(&key, &entry.value, &why), words.map(|(_, words)| one_of(words, &entry.value))))
        }
        Err(other) => Err(error(format!("librdkafka refuses '{key}': {other}"), None)),
    }
}

/// What can be in place of a value.
fn one_of(words: &[&str], value: &str) -> String {
    let near = nearest(value, words.iter().copied());
    let near = near.map_or(String::new(), |near| format!("; did you mean '{near}'?"));
    format!("it can be {}{near}", words.join(", "))
}

/// What is told of a value that librdkafka refuses: a secret is not shown, nor what librdkafka says of it, which shows it too.
fn refusal(key: &str, value: &str, why: &str) -> String {
    match ["password", "passphrase", "secret", "pem"].iter().any(|word| key.contains(word)) {
        true => format!("librdkafka refuses the value of '{key}'"),
        false => format!("librdkafka refuses '{key}' = '{value}': {why}"),
    }
}

/// What Velo sets by itself, and why.
const RESERVED: &[(&str, &str)] = &[
    ("auto.commit.enable", "positions are those of checkpoints"),
    ("auto.commit.interval.ms", "positions are those of checkpoints"),
    ("enable.auto.commit", "positions are those of checkpoints"),
    ("enable.auto.offset.store", "positions are those of checkpoints"),
    ("enable.partition.eof", "it tells when what was there has been read"),
    ("group.protocol", "partitions are assigned by Velo, and no group is joined"),
    ("partition.assignment.strategy", "partitions are assigned by Velo, and no group is joined"),
    ("transactional.id", "it goes by the job's id; 'transactional.id.prefix' is what stands before it"),
    ("enable.idempotence", "records are never repeated nor reordered by a sink"),
    ("statistics.interval.ms", "Velo has metrics of its own"),
];

/// Compressions of records.
const CODECS: &[&str] = &["none", "gzip", "snappy", "lz4", "zstd"];

/// The values of those properties that have one of some words (librdkafka's CONFIGURATION.md).
const WORDS: &[(&str, &[&str])] = &[
    ("acks", &["all", "-1", "0", "1"]),
    ("broker.address.family", &["any", "v4", "v6"]),
    ("client.dns.lookup", &["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"]),
    ("compression.codec", CODECS),
    ("compression.type", CODECS),
    ("metadata.recovery.strategy", &["none", "rebootstrap"]),
    (
        "partitioner",
        &["murmur2_random", "murmur2", "consistent_random", "consistent", "fnv1a_random", "fnv1a", "random"],
    ),
    ("queuing.strategy", &["fifo", "lifo"]),
    ("request.required.acks", &["all", "-1", "0", "1"]),
    ("sasl.oauthbearer.method", &["default", "oidc"]),
    (SECURITY, &["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]),
    ("ssl.endpoint.identification.algorithm", &["none", "https"]),
];

/// Properties of every client.
const CLIENT: &[&str] = &[
    "allow.auto.create.topics",
    "api.version.fallback.ms",
    "api.version.request",
    "api.version.request.timeout.ms",
    "bootstrap.servers",
    "broker.address.family",
    "broker.address.ttl",
    "broker.version.fallback",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "connections.max.idle.ms",
    "debug",
    "enable.metrics.push",
    "enable.random.seed",
    "enable.sasl.oauthbearer.unsecure.jwt",
    "enable.ssl.certificate.verification",
    "enabled_events",
    "https.ca.location",
    "https.ca.pem",
    "internal.termination.signal",
    "log.connection.close",
    "log.queue",
    "log.thread.name",
    "log_level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.copy.max.bytes",
    "message.max.bytes",
    "metadata.broker.list",
    "metadata.max.age.ms",
    "metadata.recovery.rebootstrap.trigger.ms",
    "metadata.recovery.strategy",
    "plugin.library.paths",
    "receive.message.max.bytes",
    "reconnect.backoff.jitter.ms",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.kerberos.keytab",
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.principal",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.assertion.algorithm",
    "sasl.oauthbearer.assertion.claim.aud",
    "sasl.oauthbearer.assertion.claim.exp.seconds",
    "sasl.oauthbearer.assertion.claim.iss",
    "sasl.oauthbearer.assertion.claim.jti.include",
    "sasl.oauthbearer.assertion.claim.nbf.seconds",
    "sasl.oauthbearer.assertion.claim.sub",
    "sasl.oauthbearer.assertion.file",
    "sasl.oauthbearer.assertion.jwt.template.file",
    "sasl.oauthbearer.assertion.private.key.file",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.grant.type",
    "sasl.oauthbearer.metadata.authentication.type",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "socket.blocking.max.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.max.fails",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "ssl.ca.certificate.stores",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.engine.id",
    "ssl.engine.location",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.providers",
    "ssl.sigalgs.list",
    "statistics.interval.ms",
    "topic.blacklist",
    "topic.metadata.propagation.max.ms",
    "topic.metadata.refresh.fast.cnt",
    "topic.metadata.refresh.fast.interval.ms",
    "topic.metadata.refresh.interval.ms",
    "topic.metadata.refresh.sparse",
];

/// Properties of consumers alone.
const CONSUMER: &[&str] = &[
    "auto.commit.enable",
    "auto.commit.interval.ms",
    "auto.offset.reset",
    "check.crcs",
    "consume.callback.max.messages",
    "coordinator.query.interval.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.protocol.type",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "isolation.level",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "offset.store.method",
    "offset.store.path",
    "offset.store.sync.interval.ms",
    "partition.assignment.strategy",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "session.timeout.ms",
];

/// Properties of producers alone.
const PRODUCER: &[&str] = &[
    "acks",
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "linger.ms",
    "message.send.max.retries",
    "message.timeout.ms",
    "partitioner",
    "produce.offset.report",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "queuing.strategy",
    "request.required.acks",
    "request.timeout.ms",
    "retries",
    "sticky.partitioning.linger.ms",
    "transaction.timeout.ms",
    "transactional.id",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(role: Role, pairs: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let mut options = Options::from_pairs(pairs.iter().copied());
        let passed = take(&mut options, role, &[]).into_iter().map(|(key, _)| key).collect();
        let say = |error: PropertyError| format!("{} {}", error.message, error.help.unwrap_or_default());
        (passed, options.take_errors().into_iter().map(say).collect())
    }

    #[test]
    fn every_name_is_one_that_the_library_knows() {
        for name in CLIENT.iter().chain(CONSUMER).chain(PRODUCER) {
            let mut config = ClientConfig::new();
            config.set(*name, "\u{1}no value has this");
            let known = match config.create_native_config() {
                Ok(_) => true,
                Err(error) => !error.to_string().contains("No such configuration property"),
            };
            assert!(known, "{name}");
        }
    }

    #[test]
    fn every_word_is_one_that_the_library_takes() {
        let native = |name: &str, value: &str| {
            let mut config = ClientConfig::new();
            config.set(name, value).create_native_config().map(drop).map_err(|error| error.to_string())
        };
        for (name, words) in WORDS {
            assert!(words.iter().all(|word| native(name, word).is_ok()), "{name}");
            assert!(native(name, "no word").is_err(), "{name}");
        }
    }

    #[test]
    fn mistakes_are_told_when_the_script_is_read() {
        let log_in = [("SASL.Password", "hunter2"), ("properties.security.protocol", "SASL_SSL")];
        let others = [("fetch.min.bytes", "1"), ("properties.client.id", "velo")];
        let (passed, none) = errors(Role::Consumer, &[log_in, others].concat());
        assert_eq!((passed.len(), none), (4, vec![]));
        let said = |role, key, value| errors(role, &[(key, value)]).1.join("\n");
        assert!(said(Role::Consumer, "fetch.min.byte", "1").contains("did you mean 'fetch.min.bytes'?"));
        assert!(said(Role::Producer, "linger.ms", "soon").contains("librdkafka refuses 'linger.ms' = 'soon'"));
        let near = said(Role::Producer, "partitioner", "murmur_random");
        assert!(near.ends_with("fnv1a, random; did you mean 'murmur2_random'?"), "{near}");
        assert!(said(Role::Producer, "fetch.min.bytes", "1").contains("for sources and tables"));
        assert!(said(Role::Consumer, "enable.auto.commit", "true").contains("positions are those of checkpoints"));
        assert!(said(Role::Consumer, "properties.nonsense", "1").contains("no property 'nonsense'"));
        let (passed, none) = errors(Role::Consumer, &[("colour", "red")]);
        assert_eq!((passed, none), (vec![], vec![]), "who has the rest says so");
    }

    #[test]
    fn secrets_are_not_shown() {
        let told = refusal("ssl.key.pem", "hunter2", "no PEM in \"hunter2\"");
        assert_eq!(told, "librdkafka refuses the value of 'ssl.key.pem'");
        assert_eq!(refusal("acks", "x", "none"), "librdkafka refuses 'acks' = 'x': none");
    }

    /// librdkafka would connect without them.
    #[test]
    fn what_a_protocol_passes_over_is_told() {
        let said = |pairs: &[(&str, &str)]| errors(Role::Consumer, pairs).1.join("\n");
        let mechanism = |name| said(&[("security.protocol", "SASL_SSL"), ("sasl.mechanism", name)]);
        assert_eq!(MECHANISMS.map(mechanism), [""; 4]);
        let near = mechanism("PLAINN");
        assert!(near.contains("'PLAINN' is no mechanism") && near.contains("did you mean 'PLAIN'?"), "{near}");
        let none = said(&[("sasl.username", "u")]);
        assert!(none.contains("'security.protocol' is not set, and connections are not logged in"), "{none}");
        let tls_alone = said(&[("security.protocol", "SSL"), ("sasl.username", "u"), ("ssl.ca.location", "ca.pem")]);
        assert!(tls_alone.contains("'sasl.username' means nothing here: 'security.protocol' is 'ssl'"), "{tls_alone}");
        assert!(tls_alone.contains("set 'security.protocol' = 'SASL_SSL' or 'SASL_PLAINTEXT'"), "{tls_alone}");
        let open = said(&[("security.protocol", "SASL_PLAINTEXT"), ("ssl.ca.location", "ca.pem")]);
        assert!(open.contains("connections are not encrypted") && open.contains("'SASL_SSL' or 'SSL'"), "{open}");
    }
}
