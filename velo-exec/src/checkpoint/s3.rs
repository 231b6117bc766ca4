//! Folders of objects in S3, and what its errors mean.
//!
//! Everything about the service comes from the environment, as its users know it: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
//! `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP`. No secret is part of a message: of an answer only its
//! code and its sentence are told, because the rest can repeat what was signed.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};
use velo_core::ConnectorError;
use velo_core::error::ErrorKind;

use super::remote::{Remote, causes, with_causes};

/// How often a call is tried again while nothing answers, and for how long: a job that waits has its own way of starting again.
const RETRIES: usize = 4;
const RETRY_FOR: Duration = Duration::from_secs(15);
/// How long one call may take, with the bytes of a state file in it, where `AWS_TIMEOUT` does not say.
const CALL: &str = "60s";

/// A bucket behind an endpoint.
pub(super) struct Bucket {
    name: String,
    prefix: Path,
    /// Where it is looked for, as messages say it.
    endpoint: String,
    region: String,
    /// Whether the credentials are asked of the machine, as on EC2, because the environment has none.
    of_machine: bool,
}

/// The store of `s3://BUCKET/PREFIX`, the prefix within it, and what is known of it. Nothing is asked of the service yet.
///
/// # Errors
///
/// Where the address or the environment cannot be right.
pub(super) fn open(address: &str) -> Result<(Arc<dyn ObjectStore>, Path, Bucket), ConnectorError> {
    let (name, prefix) = parts(address)?;
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(&name);
    if std::env::var_os("AWS_TIMEOUT").is_none() {
        builder = builder.with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), CALL);
    }
    let set = |key: AmazonS3ConfigKey| builder.get_config_value(&key).filter(|value| !value.is_empty());
    let region = set(AmazonS3ConfigKey::Region).unwrap_or_else(|| "us-east-1".to_owned());
    let endpoint = set(AmazonS3ConfigKey::S3Endpoint).or_else(|| set(AmazonS3ConfigKey::Endpoint));
    check_endpoint(endpoint.as_deref(), set(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp)).as_deref())?;
    let named = [
        AmazonS3ConfigKey::AccessKeyId,
        AmazonS3ConfigKey::SecretAccessKey,
        AmazonS3ConfigKey::WebIdentityTokenFile,
        AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
        AmazonS3ConfigKey::ContainerCredentialsFullUri,
    ];
    let unsigned = set(AmazonS3ConfigKey::SkipSignature).is_some_and(|value| value == "true");
    let bucket = Bucket {
        name,
        prefix: prefix.clone(),
        endpoint: endpoint.unwrap_or_else(|| format!("AWS in {region}")),
        region,
        of_machine: !unsigned && !named.into_iter().any(|key| set(key).is_some()),
    };
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(3), ..BackoffConfig::default() };
    let retries = RetryConfig { backoff, max_retries: RETRIES, retry_timeout: RETRY_FOR };
    // Checkpoints rest on it, whatever the environment says.
    let builder = builder.with_conditional_put(S3ConditionalPut::ETagMatch).with_retry(retries);
    let store = builder.build().map_err(|error| {
        let advice = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set both or neither; the other AWS_ variables must be of their form";
        wrong(Answer::of(&error).text).advise(advice)
    })?;
    Ok((Arc::new(store), prefix, bucket))
}

/// The bucket and the prefix of an address.
fn parts(address: &str) -> Result<(String, Path), ConnectorError> {
    const FORM: &str = "write s3://bucket/prefix, with a prefix for this job alone";
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.contains('@') {
        let message = "credentials are no part of the address";
        return Err(
            wrong(message).advise("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and write s3://bucket/prefix")
        );
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    if bucket.is_empty() || !bucket.bytes().all(plain) {
        let message = format!("'{bucket}' is no name of a bucket: it has lower-case letters, digits, '.' and '-'");
        return Err(wrong(message).advise(FORM));
    }
    let prefix = Path::parse(prefix)
        .map_err(|_| wrong(format!("'{prefix}' is no prefix: '//', '.' and '..' cannot stand in it")).advise(FORM))?;
    Ok((bucket.to_owned(), prefix))
}

fn check_endpoint(endpoint: Option<&str>, allowed: Option<&str>) -> Result<(), ConnectorError> {
    let Some(endpoint) = endpoint else { return Ok(()) };
    if endpoint.contains('@') {
        let message = "credentials are no part of AWS_ENDPOINT_URL";
        return Err(wrong(message).advise("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"));
    }
    if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
        let message = format!("AWS_ENDPOINT_URL is '{endpoint}', which is no address");
        return Err(wrong(message).advise("write it with https://, and the port where it is another than 443"));
    }
    if endpoint.starts_with("http://") && allowed != Some("true") {
        let message = format!("AWS_ENDPOINT_URL is {endpoint}: state would go over the network as it is");
        return Err(wrong(message).advise("use https://; for a server that is reached safely, set AWS_ALLOW_HTTP=true"));
    }
    Ok(())
}

fn wrong(message: impl Into<String>) -> ConnectorError {
    ConnectorError::new(ErrorKind::Configuration, "opening", message)
}

impl Remote for Bucket {
    fn is_gone(&self, error: &object_store::Error) -> bool {
        Answer::of(error).code == "NoSuchBucket"
    }

    fn explain(&self, operation: &'static str, object: &str, error: &object_store::Error) -> ConnectorError {
        let (answer, bucket) = (Answer::of(error), &self.name);
        let said = answer.said();
        let error = |kind, message: String| ConnectorError::new(kind, operation, message);
        if self.of_machine && answer.of_machine {
            let message = "there are no credentials, neither in the environment nor from this machine's own service";
            return error(ErrorKind::PermissionDenied, message.to_owned())
                .advise("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; profiles in ~/.aws are not read")
                .temporary();
        }
        match (answer.code.as_str(), answer.status) {
            ("NoSuchBucket", _) => error(ErrorKind::NotFound, format!("there is no bucket '{bucket}' at {}", self.endpoint))
                .advise("make it, or name another; AWS_ENDPOINT_URL and AWS_REGION say where it is looked for"),
            ("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "ExpiredToken" | "TokenRefreshRequired", _)
            | (_, Some(401)) => {
                error(ErrorKind::PermissionDenied, format!("{} does not know the credentials: {said}", self.endpoint)).advise(
                    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must belong together; those that expire need their AWS_SESSION_TOKEN",
                )
            }
            ("RequestTimeTooSkewed", _) => {
                error(ErrorKind::Configuration, said).advise("set the clock of this machine: requests are signed with the time")
            }
            ("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException", _)
            | (_, Some(301 | 307)) => {
                let message = format!("bucket '{bucket}' is not in {}: {said}", self.region);
                error(ErrorKind::Configuration, message).advise("set AWS_REGION to the region of the bucket")
            }
            (_, Some(403)) => error(ErrorKind::PermissionDenied, format!("{object}: {said}")).advise(format!(
                "the job needs s3:ListBucket on '{bucket}', and s3:GetObject, s3:PutObject, s3:DeleteObject on '{bucket}/{}/*'",
                self.prefix
            )),
            ("NotImplemented", _) | (_, Some(501)) => self.no_conditions(operation).advise(said),
            ("SlowDown", _) | (_, Some(408 | 429 | 500..)) => {
                error(ErrorKind::Unavailable, format!("{object}: {} answers {said}", self.endpoint)).temporary()
            }
            ("", Some(_)) => {
                error(ErrorKind::Configuration, format!("{object}: {} answers {said}, and not as S3 does", self.endpoint))
                    .advise("AWS_ENDPOINT_URL says where the service listens; is that the address of something else?")
            }
            (_, Some(_)) => error(ErrorKind::Io, format!("{object}: {said}")),
            // It may have been cut anywhere.
            (_, None) if answer.broken => {
                error(ErrorKind::Unavailable, format!("{object}: no answer from {}: {}", self.endpoint, answer.cause))
                    .advise("AWS_ENDPOINT_URL says where the service listens; without it, AWS_REGION does")
                    .temporary()
            }
            (_, None) => error(ErrorKind::Io, format!("{object}: {}", answer.text)),
        }
    }

    fn no_conditions(&self, operation: &'static str) -> ConnectorError {
        let message = format!("{} puts an object where there is one already (it ignores If-None-Match)", self.endpoint);
        ConnectorError::new(ErrorKind::Unsupported, operation, message).advise(
            "two processes could write one job's checkpoints: take a service or version with conditional writes",
        )
    }
}

/// What is known of a call that failed.
struct Answer {
    /// The status of the answer, where there was one.
    status: Option<u16>,
    /// The service's code for what is wrong, or nothing.
    code: String,
    /// What it says about it.
    message: String,
    /// Whether the call broke off, or never came to the service.
    broken: bool,
    /// Whether it was not the service that was called, but this machine's own for credentials.
    of_machine: bool,
    /// The innermost reason.
    cause: String,
    /// The library's words, without those of the service.
    text: String,
}

impl Answer {
    fn of(error: &object_store::Error) -> Self {
        let whole = with_causes(error);
        let cause = causes(error).last().map_or_else(|| error.to_string(), ToString::to_string);
        let broke_off = |http: &HttpError| http.kind() != HttpErrorKind::Decode;
        let broken = causes(error).any(|cause| cause.downcast_ref().is_some_and(broke_off));
        // The library has a type of its own for this, and does not show it.
        let status = whole.split_once("status code: ").and_then(|(_, rest)| rest.get(..3)?.parse().ok());
        let redirected = whole.contains("redirect without LOCATION").then_some(301);
        let text = whole.split(['<', '\n']).next().unwrap_or_default().trim_end().to_owned();
        Self {
            status: status.or(redirected),
            code: element(&whole, "Code").unwrap_or_default(),
            message: element(&whole, "Message").unwrap_or_default(),
            of_machine: whole.contains("/latest/api/token") || whole.contains("/latest/meta-data/"),
            broken,
            cause,
            text,
        }
    }

    /// The answer in a few words.
    fn said(&self) -> String {
        let status = self.status.map_or_else(String::new, |status| status.to_string());
        let words = [status, self.code.clone(), self.message.clone()];
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// The text of an element of the service's answer.
fn element(answer: &str, name: &str) -> Option<String> {
    let (_, rest) = answer.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_bucket_and_a_prefix() {
        let split = |address| parts(address).map(|(bucket, prefix)| (bucket, prefix.to_string()));
        assert_eq!(split("s3://state/jobs/bars/").unwrap(), ("state".to_owned(), "jobs/bars".to_owned()));
        assert_eq!(split("s3://state").unwrap(), ("state".to_owned(), String::new()));
        for (address, said) in [
            ("s3://", "'' is no name of a bucket"),
            ("s3://State/bars", "'State' is no name of a bucket"),
            ("s3://state/a//b", "'a//b' is no prefix"),
            ("s3://state/../b", "'../b' is no prefix"),
            ("s3://AKIA:hidden@state/bars", "credentials are no part of the address"),
        ] {
            let error = split(address).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Configuration);
            let error = error.to_string();
            assert!(error.contains(said) && error.contains("help: "), "{address}: {error}");
            assert!(!error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn endpoints_are_checked() {
        assert!(check_endpoint(None, None).is_ok());
        assert!(check_endpoint(Some("https://store.example"), None).is_ok());
        assert!(check_endpoint(Some("http://127.0.0.1:9000"), Some("true")).is_ok());
        let said = |endpoint| check_endpoint(Some(endpoint), None).unwrap_err().to_string();
        assert!(said("http://127.0.0.1:9000").contains("AWS_ALLOW_HTTP=true"));
        assert!(said("127.0.0.1:9000").contains("is no address"));
        let hidden = said("https://AKIA:hidden@store.example");
        assert!(
            hidden.contains("credentials are no part of AWS_ENDPOINT_URL") && !hidden.contains("hidden"),
            "{hidden}"
        );
    }

    fn explained(body: &str) -> ConnectorError {
        let bucket = Bucket {
            name: "state".to_owned(),
            prefix: Path::from("bars"),
            endpoint: "AWS in eu-west-1".to_owned(),
            region: "eu-west-1".to_owned(),
            of_machine: false,
        };
        let source = format!("Error performing PUT https://x in 1ms - {body}").into();
        bucket.explain("writing", "job.json", &object_store::Error::Generic { store: "S3", source })
    }

    #[test]
    fn answers_are_told_by_their_code_and_nothing_that_was_signed() {
        let xml = |code, more| {
            let status = "Server returned non-2xx status code: 403 Forbidden: <?xml version=\"1.0\"?>";
            format!("{status}\n<Error><Code>{code}</Code><Message>No.</Message>{more}</Error>")
        };
        let signed = "<CanonicalRequest>x-amz-security-token:hidden</CanonicalRequest>";
        for (code, kind, said) in [
            ("SignatureDoesNotMatch", ErrorKind::PermissionDenied, "AWS_SESSION_TOKEN"),
            ("AccessDenied", ErrorKind::PermissionDenied, "s3:PutObject, s3:DeleteObject on 'state/bars/*'"),
            ("RequestTimeTooSkewed", ErrorKind::Configuration, "set the clock"),
            ("AuthorizationHeaderMalformed", ErrorKind::Configuration, "set AWS_REGION"),
            ("NoSuchBucket", ErrorKind::NotFound, "there is no bucket 'state' at AWS in eu-west-1"),
        ] {
            let error = explained(&xml(code, signed));
            assert_eq!((error.kind, error.retry), (kind, velo_core::error::Retry::Permanent), "{error}");
            let text = error.to_string();
            assert!(text.contains(said) && !text.contains("hidden"), "{code}: {text}");
        }
    }

    #[test]
    fn only_what_may_pass_is_temporary() {
        let busy = explained(
            "Server returned non-2xx status code: 503 Service Unavailable: <Error><Code>SlowDown</Code></Error>",
        );
        assert_eq!((busy.kind, busy.retry), (ErrorKind::Unavailable, velo_core::error::Retry::Temporary), "{busy}");
        let none = explained(
            "Server returned non-2xx status code: 501 Not Implemented: <Error><Code>NotImplemented</Code></Error>",
        );
        assert_eq!((none.kind, none.retry), (ErrorKind::Unsupported, velo_core::error::Retry::Permanent), "{none}");
        let moved =
            explained("Received redirect without LOCATION, this normally indicates an incorrectly configured region");
        assert!(moved.to_string().contains("bucket 'state' is not in eu-west-1"), "{moved}");
    }
}
