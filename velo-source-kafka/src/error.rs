//! librdkafka's errors as those of a connector.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use velo_core::ConnectorError;
use velo_core::error::ErrorKind;

/// What failed; `what` is the cluster, topic or partition that it was about.
pub(crate) fn failed(operation: &'static str, what: &str, error: &KafkaError) -> ConnectorError {
    let Some(code) = error.rdkafka_error_code() else {
        return ConnectorError::new(ErrorKind::Configuration, operation, format!("{what}: {error}"));
    };
    let made = ConnectorError::new(kind(code), operation, format!("{what}: {code}"));
    let made = if may_pass(code) { made.temporary() } else { made };
    match advice(code) {
        Some(advice) => made.advise(advice),
        None => made,
    }
}

/// The same with what the client has said about its connections, which says more than that a call timed out.
pub(crate) fn failed_with(
    operation: &'static str,
    what: &str,
    error: &KafkaError,
    said: Option<String>,
) -> ConnectorError {
    let made = failed(operation, what, error);
    let Some(said) = said else { return made };
    let hint = error.rdkafka_error_code().filter(|code| may_pass(*code)).and_then(|_| hint(&said));
    let advice = hint.and_then(advice).map(str::to_owned).or(made.advice);
    ConnectorError { message: format!("{} ({said})", made.message), advice, ..made }
}

/// What librdkafka takes for the cause of a connection that does not come about, beside that a broker may be gone.
fn hint(said: &str) -> Option<Code> {
    let lower = said.to_ascii_lowercase();
    match lower.as_str() {
        said if said.contains("ssl listener") || said.contains("ssl handshake failed") => Some(Code::SSL),
        said if said.contains("authentication") => Some(Code::Authentication),
        _ => None,
    }
}

fn kind(code: Code) -> ErrorKind {
    match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => ErrorKind::NotFound,
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => ErrorKind::PermissionDenied,
        code if is_lost(code) => ErrorKind::OffsetLost,
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => ErrorKind::Fenced,
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => ErrorKind::Encode,
        Code::InvalidArgument | Code::InvalidTopic | Code::UnsupportedFeature | Code::SSL => ErrorKind::Configuration,
        code if may_pass(code) => ErrorKind::Unavailable,
        _ => ErrorKind::Io,
    }
}

/// Whether the cluster does not have what was to be read.
pub(crate) fn is_lost(code: Code) -> bool {
    matches!(code, Code::OffsetOutOfRange | Code::AutoOffsetReset | Code::NoOffset)
}

/// Whether the same may succeed later: what Kafka's own clients retry (the subclasses of `RetriableException`, without a topic that is not
/// known and a record that is corrupt, which may stay so), and what librdkafka says of connections.
pub(crate) fn may_pass(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            // The cluster took a broker out of its list while a question to it was on its way; an older name, and the one of today.
            | Code::BrokerDestroy
            | Code::DestroyBroker
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::WaitingForCoordinator
            | Code::WaitCache
            | Code::InProgress
            | Code::Outdated
            | Code::Retry
            | Code::PurgeQueue
            | Code::PurgeInflight
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::PreferredLeaderNotAvailable
            | Code::EligibleLeadersNotAvailable
            // A leader that is new does not know yet how far its followers are, and the other two how old what a client knows is.
            | Code::OffsetNotAvailable
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::ListenerNotFound
            | Code::NotController
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::ConcurrentTransactions
            | Code::KafkaStorageError
            | Code::FetchSessionIdNotFound
            | Code::InvalidFetchSessionEpoch
            | Code::ThrottlingQuotaExceeded
            | Code::UnstableOffsetCommit
            | Code::RebootstrapRequired
    )
}

fn advice(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve | Code::OperationTimedOut => {
            "check that the brokers run, and that 'bootstrap.servers' names them as they are reached from here, with the port for the 'security.protocol'"
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition => {
            "create the topic, or have Velo wait for it: 'topic.wait.timeout' = '60s'; a sink makes it with 'topic.create' = 'true'"
        }
        Code::Authentication | Code::SaslAuthenticationFailed => {
            "check 'security.protocol', 'sasl.mechanism', 'sasl.username' and 'sasl.password'"
        }
        Code::SSL => "check 'security.protocol' and 'ssl.ca.location', and that the port is the one for TLS",
        Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::TransactionalIdAuthorizationFailed => {
            "give the user that Velo logs in as the right"
        }
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => {
            "another process runs this job; stop one of the two"
        }
        Code::MessageSizeTooLarge => "raise 'message.max.bytes' here and in the topic",
        Code::NotEnoughReplicas => "bring the brokers of the topic's replicas back",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use velo_core::error::Retry;

    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_and_what_cannot_is_told() {
        let of = |code| failed("reading", "topic t", &KafkaError::MessageConsumption(code));
        let down = of(Code::AllBrokersDown);
        assert_eq!((down.kind, down.retry), (ErrorKind::Unavailable, Retry::Temporary));
        assert!(down.advice.is_some_and(|advice| advice.contains("bootstrap.servers")));
        let login = of(Code::Authentication);
        assert_eq!((login.kind, login.retry), (ErrorKind::PermissionDenied, Retry::Permanent));
        for code in [Code::OffsetNotAvailable, Code::DestroyBroker, Code::NotController] {
            let passes = of(code);
            assert_eq!((passes.kind, passes.retry), (ErrorKind::Unavailable, Retry::Temporary), "{code}");
        }
        assert_eq!(of(Code::AutoOffsetReset).kind, ErrorKind::OffsetLost);
        assert_eq!(of(Code::ProducerFenced).kind, ErrorKind::Fenced);
        let said = Some("connection refused".to_owned());
        let with = failed_with("connecting", "kafka", &KafkaError::MessageConsumption(Code::AllBrokersDown), said);
        assert!(with.message.ends_with("(connection refused)"), "{}", with.message);
        assert!(with.advice.is_some_and(|advice| advice.contains("bootstrap.servers")));
        let said = "SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?".to_owned();
        let error = KafkaError::MetadataFetch(Code::BrokerTransportFailure);
        let hinted = failed_with("connecting", "kafka", &error, Some(said));
        assert!(hinted.retry == Retry::Temporary && hinted.advice.is_some_and(|advice| advice.contains("for TLS")));
    }
}
