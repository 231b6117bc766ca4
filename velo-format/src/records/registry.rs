//! A client of a schema registry.
//!
//! Answers are those of Confluent's registry and of those that are like it; sources:
//! <https://docs.confluent.io/platform/current/schema-registry/develop/api.html> and, on references,
//! <https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#schema-references>.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Certificate, Client, Method, StatusCode, Url};
use serde_json::{Value, json};
use velo_core::clock::Clock;
use velo_core::error::{ConnectorError, ErrorKind, Result, Retry};
use velo_core::resilience::{Backoff, Decision, Retries, RetryPolicy};
use velo_core::secret::Secret;

use super::properties::RegistryProperties;
use super::schemas::{RegisteredSchema, SchemaKind};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Schemas that one refers to, directly or not, before it is taken for a mistake.
const REFERENCES: usize = 1_000;

/// What is being done, in errors.
const ASKING: &str = "asking the schema registry";

/// A schema registry.
#[derive(Debug)]
pub struct Registry {
    client: Client,
    urls: Vec<Url>,
    /// The one that answered last.
    current: AtomicUsize,
    login: Login,
    retries: RetryPolicy,
    clock: Clock,
}

/// Who asks.
#[derive(Debug)]
enum Login {
    Nobody,
    Basic(String, Option<Secret>),
    Bearer(Secret),
}

/// An answer that is an error.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: u64,
    message: String,
}

impl Registry {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    ///
    /// Where a URL or the file of certificates is none.
    pub fn new(properties: &RegistryProperties, clock: Clock) -> Result<Self> {
        let configuration = |message: String| ConnectorError::new(ErrorKind::Configuration, ASKING, message);
        let (mut urls, mut embedded) = (Vec::new(), None);
        for text in properties.url.iter().flat_map(|urls| urls.split(',')).map(str::trim).filter(|url| !url.is_empty())
        {
            let parsed = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            // The text is not shown: a password may be in it.
            let mut url = parsed.ok_or_else(|| {
                configuration("a URL in 'schema.registry.url' is none".to_owned())
                    .advise("write https://HOST:PORT, several with commas between them")
            })?;
            if !url.username().is_empty() {
                embedded = Some((decoded(url.username()), url.password().map(|word| Secret::new(decoded(word)))));
            }
            // These cannot fail: the URL has a host.
            let _ = (url.set_username(""), url.set_password(None));
            url.set_query(None);
            url.set_fragment(None);
            urls.push(url);
        }
        if urls.is_empty() {
            return Err(configuration("the property 'schema.registry.url' is empty".to_owned()));
        }
        let login = match (&properties.token, &properties.username, embedded) {
            (Some(token), None, _) => Login::Bearer(token.clone()),
            (None, Some(name), _) => Login::Basic(name.clone(), properties.password.clone()),
            (None, None, Some((name, password))) => Login::Basic(name, password),
            (None, None, None) => Login::Nobody,
            (Some(_), Some(_), _) => {
                let message = "'schema.registry.token' and 'schema.registry.username' are both set";
                return Err(configuration(message.to_owned()).advise("leave one of them out"));
            }
        };
        let mut builder = Client::builder().timeout(PATIENCE).connect_timeout(PATIENCE / 3).user_agent("velo");
        if let Some(path) = &properties.ca {
            let pem = std::fs::read(path).map_err(|error| ConnectorError::from_io(error, ASKING, path))?;
            let certificates = Certificate::from_pem_bundle(&pem).ok().filter(|certificates| !certificates.is_empty());
            let certificates = certificates.ok_or_else(|| {
                configuration(format!("{path} holds no certificate in PEM"))
                    .advise("set 'schema.registry.ca' to a .pem file")
            })?;
            for certificate in certificates {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let client = builder.build().map_err(|error| configuration(causes(&error)))?;
        let backoff = Backoff { first: Duration::from_millis(250), longest: Duration::from_secs(10) };
        let retries = RetryPolicy { backoff, attempts: Some(5) };
        Ok(Self { client, urls, current: AtomicUsize::new(0), login, retries, clock })
    }

    /// How often and how soon an error that may pass is tried again; five times within some seconds by default.
    #[must_use]
    pub fn retrying(self, retries: RetryPolicy) -> Self {
        Self { retries, ..self }
    }

    /// The schema of an id; `None` where the registry has none.
    ///
    /// # Errors
    ///
    /// Where the registry cannot be reached or refuses.
    pub async fn schema(&self, id: u32) -> Result<Option<RegisteredSchema>> {
        let what = format!("the schema {id}");
        match self.ask(Method::GET, &["schemas", "ids", &id.to_string()], None, &what).await? {
            Ok(answer) => self.registered(answer, Some(id), &what).await.map(Some),
            Err(refusal) if refusal.code == 40403 || refusal.status == StatusCode::NOT_FOUND => Ok(None),
            Err(refusal) => Err(self.refused(&what, refusal)),
        }
    }

    /// The latest schema of a subject; `None` where there is no such subject.
    ///
    /// # Errors
    ///
    /// As [`Registry::schema`].
    pub async fn latest(&self, subject: &str) -> Result<Option<RegisteredSchema>> {
        self.of_subject(subject, "latest").await
    }

    /// A version of a subject; `None` where there is none.
    ///
    /// # Errors
    ///
    /// As [`Registry::schema`].
    pub async fn version(&self, subject: &str, version: u32) -> Result<Option<RegisteredSchema>> {
        self.of_subject(subject, &version.to_string()).await
    }

    async fn of_subject(&self, subject: &str, version: &str) -> Result<Option<RegisteredSchema>> {
        let what = format!("the subject '{subject}' (version {version})");
        match self.ask(Method::GET, &["subjects", subject, "versions", version], None, &what).await? {
            Ok(answer) => self.registered(answer, None, &what).await.map(Some),
            Err(refusal) if refusal.status == StatusCode::NOT_FOUND => Ok(None),
            Err(refusal) => Err(self.refused(&what, refusal)),
        }
    }

    /// Registers a schema, which may be there already; gives its id.
    ///
    /// # Errors
    ///
    /// Where the registry cannot be reached or refuses: also where the schema is not compatible with those that are there.
    pub async fn register(&self, subject: &str, kind: SchemaKind, text: &str) -> Result<u32> {
        let what = format!("a new version of the subject '{subject}'");
        let body = body_of(kind, text);
        match self.ask(Method::POST, &["subjects", subject, "versions"], Some(&body), &what).await? {
            Ok(answer) => id_of(&answer).ok_or_else(|| self.nonsense(&what, "it has no id")),
            Err(refusal) => Err(self.refused(&what, refusal)),
        }
    }

    /// The id under which a subject has that very schema; `None` where it has not.
    ///
    /// # Errors
    ///
    /// As [`Registry::schema`].
    pub async fn lookup(&self, subject: &str, kind: SchemaKind, text: &str) -> Result<Option<u32>> {
        let what = format!("a schema in the subject '{subject}'");
        match self.ask(Method::POST, &["subjects", subject], Some(&body_of(kind, text)), &what).await? {
            Ok(answer) => Ok(Some(id_of(&answer).ok_or_else(|| self.nonsense(&what, "it has no id"))?)),
            Err(refusal) if refusal.status == StatusCode::NOT_FOUND => Ok(None),
            Err(refusal) => Err(self.refused(&what, refusal)),
        }
    }

    /// A schema with all that it refers to.
    async fn registered(&self, answer: Value, id: Option<u32>, what: &str) -> Result<RegisteredSchema> {
        let id = id.or_else(|| id_of(&answer)).ok_or_else(|| self.nonsense(what, "it has no id"))?;
        let kind = match answer.get("schemaType").and_then(Value::as_str) {
            None | Some("AVRO") => SchemaKind::Avro,
            Some("PROTOBUF") => SchemaKind::Protobuf,
            Some("JSON") => SchemaKind::Json,
            Some(other) => return Err(self.nonsense(what, &format!("its schemaType is {other}"))),
        };
        let text = text_of(&answer).ok_or_else(|| self.nonsense(what, "it has no schema"))?;
        let references = self.references(&answer, what).await?;
        Ok(RegisteredSchema { id, kind, text, references })
    }

    /// What a schema refers to, those first that others need.
    async fn references(&self, answer: &Value, what: &str) -> Result<Vec<(String, String)>> {
        /// A schema whose own references are being looked for, or have been.
        enum Step {
            Ask(Value),
            Keep(String, String),
        }
        let direct = |answer: &Value| answer.get("references").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut steps: Vec<Step> = direct(answer).into_iter().rev().map(Step::Ask).collect();
        let (mut asked, mut found) = (HashSet::new(), Vec::new());
        while let Some(step) = steps.pop() {
            let reference = match step {
                Step::Keep(name, text) => {
                    found.push((name, text));
                    continue;
                }
                Step::Ask(reference) => reference,
            };
            let part = |key: &str| reference.get(key).and_then(Value::as_str);
            let version = reference.get("version").and_then(Value::as_i64);
            let (Some(name), Some(subject), Some(version)) = (part("name"), part("subject"), version) else {
                return Err(self.nonsense(what, "a reference of it lacks its name, subject or version"));
            };
            if !asked.insert((subject.to_owned(), version)) {
                continue;
            }
            if asked.len() > REFERENCES {
                return Err(self.nonsense(what, &format!("it refers to over {REFERENCES} schemas")));
            }
            let what = format!("the subject '{subject}' (version {version}), which {what} refers to");
            let version = version.to_string();
            let answer = match self.ask(Method::GET, &["subjects", subject, "versions", &version], None, &what).await? {
                Ok(answer) => answer,
                Err(refusal) => return Err(self.refused(&what, refusal)),
            };
            let text = text_of(&answer).ok_or_else(|| self.nonsense(&what, "it has no schema"))?;
            steps.push(Step::Keep(name.to_owned(), text));
            steps.extend(direct(&answer).into_iter().rev().map(Step::Ask));
        }
        Ok(found)
    }

    /// Asks until an answer comes that would not change: the URLs in turn, and all of them again after a while.
    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
        what: &str,
    ) -> Result<std::result::Result<Value, Refusal>> {
        // Delays are spread by it; any number will do.
        let seed =
            path.iter().flat_map(|part| part.bytes()).fold(1_u64, |seed, byte| seed.rotate_left(5) ^ u64::from(byte));
        // Of a future that holds an async closure rustc cannot show that it is `Send`, so that this is no `RetryPolicy::run`.
        let mut retries = Retries::new(self.retries, seed);
        loop {
            let error = match self.ask_each(&method, path, body, what).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match retries.after(&error) {
                Decision::Again(delay) => self.clock.sleep(delay).await,
                Decision::Permanent | Decision::Exhausted(_) => return Err(error),
            }
        }
    }

    async fn ask_each(
        &self,
        method: &Method,
        path: &[&str],
        body: Option<&Value>,
        what: &str,
    ) -> Result<std::result::Result<Value, Refusal>> {
        let first = self.current.load(Ordering::Relaxed);
        let mut failed = None;
        for turn in 0..self.urls.len() {
            let which = (first + turn) % self.urls.len();
            match self.ask_one(&self.urls[which], method, path, body, what).await {
                Ok(answer) => {
                    self.current.store(which, Ordering::Relaxed);
                    return Ok(answer);
                }
                // One that may pass is worth another round.
                Err(error) if error.retry == Retry::Temporary || failed.is_none() => failed = Some(error),
                Err(_) => {}
            }
        }
        Err(failed.unwrap_or_else(|| self.nonsense(what, "nobody was asked")))
    }

    /// One question to one URL; errors are those that may pass.
    async fn ask_one(
        &self,
        url: &Url,
        method: &Method,
        path: &[&str],
        body: Option<&Value>,
        what: &str,
    ) -> Result<std::result::Result<Value, Refusal>> {
        let mut full = url.clone();
        if let Ok(mut segments) = full.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let mut request = self.client.request(method.clone(), full);
        request = match &self.login {
            Login::Nobody => request,
            Login::Basic(name, password) => request.basic_auth(name, password.as_ref().map(Secret::expose)),
            Login::Bearer(token) => request.bearer_auth(token.expose()),
        };
        request = request.header("Accept", "application/vnd.schemaregistry.v1+json, application/json");
        if let Some(body) = body {
            let json = "application/vnd.schemaregistry.v1+json";
            request = request.header("Content-Type", json).body(body.to_string());
        }
        let unreachable = |error: reqwest::Error| {
            let message = format!("{url} did not answer about {what}: {}", causes(&error.without_url()));
            ConnectorError::new(ErrorKind::Unavailable, ASKING, message)
                .advise("check 'schema.registry.url', and that the registry runs and can be reached from here")
                .temporary()
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(unreachable)?;
        let answer: Option<Value> = serde_json::from_slice(&bytes).ok();
        if status.is_success() {
            return match answer {
                Some(answer) => Ok(Ok(answer)),
                None => Err(self.nonsense(what, "it is no JSON")),
            };
        }
        let field = |key: &str| answer.as_ref().and_then(|answer| answer.get(key));
        let message = field("message").and_then(Value::as_str).unwrap_or_default();
        if status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) {
            let because = if message.is_empty() { String::new() } else { format!(": {message}") };
            let message = format!("{url} answered {status} about {what}{because}");
            return Err(ConnectorError::new(ErrorKind::Unavailable, ASKING, message)
                .advise("the registry is busy or broken: see its log")
                .temporary());
        }
        let code = field("error_code").and_then(Value::as_u64).unwrap_or_default();
        Ok(Err(Refusal { status, code, message: message.to_owned() }))
    }

    /// The URL that answered.
    fn url(&self) -> &Url {
        &self.urls[self.current.load(Ordering::Relaxed) % self.urls.len()]
    }

    #[cold]
    fn nonsense(&self, what: &str, why: &str) -> ConnectorError {
        let message = format!("the answer of {} about {what} is not that of a schema registry: {why}", self.url());
        ConnectorError::new(ErrorKind::Configuration, ASKING, message).advise("check 'schema.registry.url'")
    }

    #[cold]
    fn refused(&self, what: &str, refusal: Refusal) -> ConnectorError {
        let Refusal { status, code, message } = refusal;
        let (kind, advice) = match status {
            StatusCode::UNAUTHORIZED => (
                ErrorKind::PermissionDenied,
                "check 'schema.registry.username' and 'schema.registry.password', or 'schema.registry.token'",
            ),
            StatusCode::FORBIDDEN => {
                (ErrorKind::PermissionDenied, "give the user of the registry the right to do this")
            }
            StatusCode::NOT_FOUND => {
                (ErrorKind::NotFound, "check the name of the subject ('schema.registry.subject') and of the topic")
            }
            StatusCode::CONFLICT => (
                ErrorKind::Configuration,
                "the columns changed in a way that the compatibility of the subject does not allow: change them, or its compatibility",
            ),
            StatusCode::UNPROCESSABLE_ENTITY => {
                (ErrorKind::Configuration, "the registry takes it for no valid schema or version")
            }
            _ => (ErrorKind::Configuration, "check 'schema.registry.url'"),
        };
        let code = if code == 0 { String::new() } else { format!(", code {code}") };
        let because = if message.is_empty() { String::new() } else { format!(": {message}") };
        let message = format!("{} refused {what} ({status}{code}){because}", self.url());
        ConnectorError::new(kind, ASKING, message).advise(advice)
    }

    /// The error of a subject that is not there.
    #[cold]
    pub fn no_subject(&self, subject: &str) -> ConnectorError {
        let message = format!("{} has no subject '{subject}'", self.url());
        ConnectorError::new(ErrorKind::NotFound, ASKING, message).advise(
            "check the topic and 'schema.registry.subject'; a sink registers its schema with 'schema.registry.auto_register' = 'true'",
        )
    }
}

fn body_of(kind: SchemaKind, text: &str) -> Value {
    match kind {
        // The oldest registries know no other and refuse the field.
        SchemaKind::Avro => json!({"schema": text}),
        kind => json!({"schema": text, "schemaType": kind.name()}),
    }
}

fn id_of(answer: &Value) -> Option<u32> {
    answer.get("id")?.as_u64()?.try_into().ok()
}

fn text_of(answer: &Value) -> Option<String> {
    Some(answer.get("schema")?.as_str()?.to_owned())
}

/// What is percent-encoded in a URL.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let code = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// An error with those below it, which say what really happened.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut below = std::error::Error::source(error);
    while let Some(cause) = below {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        below = cause.source();
    }
    text
}
