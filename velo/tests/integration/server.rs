//! S3 for a test: the server that all of them share, and one that checks who calls and what they may.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::Folder;

/// A bucket for one test on a server, with the keys that it is used with.
pub struct Bucket {
    /// Host and port.
    pub server: String,
    pub name: String,
    pub key: String,
    pub secret: String,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: `cargo xtask integration` starts S3 and sets it"))
}

impl Bucket {
    /// A new one on the server that the tests share.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = variable("AWS_ENDPOINT_URL").replace("http://", "");
        let name = format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let (status, answer) = call(&server, "PUT", &format!("/{name}"), "s3", "");
        assert_eq!(status, 200, "{answer}");
        Self { server, name, key: "test".to_owned(), secret: "test".to_owned() }
    }

    /// A `checkpoint.dir` in it.
    pub fn dir(&self) -> String {
        format!("s3://{}/jobs/bars", self.name)
    }

    /// `velo` in a folder, with this bucket's server and keys in its environment, and nothing else about AWS.
    pub fn command(&self, folder: &Folder, arguments: &[&str]) -> Command {
        let mut command = folder.command(arguments);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        command.env("AWS_ENDPOINT_URL", format!("http://{}", self.server)).env("AWS_ALLOW_HTTP", "true");
        command.env("AWS_REGION", "us-east-1").env("NO_PROXY", "127.0.0.1");
        command.env("AWS_ACCESS_KEY_ID", &self.key).env("AWS_SECRET_ACCESS_KEY", &self.secret);
        command
    }

    /// The same bucket, called through another address.
    pub fn through(&self, server: &str) -> Self {
        Self { server: server.to_owned(), name: self.name.clone(), key: self.key.clone(), secret: self.secret.clone() }
    }

    /// Replaces an object, as nobody should.
    pub fn overwrite(&self, object: &str, content: &str) {
        let (status, answer) = call(&self.server, "PUT", &format!("/{}/jobs/bars/{object}", self.name), "s3", content);
        assert_eq!(status, 200, "{answer}");
    }
}

/// A server of one test's own, which checks keys, signatures and policies. It ends with the test.
pub struct Guarded(Child);

impl Guarded {
    /// A bucket on a new server, and a user who may do these things with it.
    pub fn new(actions: &str) -> (Self, Bucket) {
        let mut python = Command::new(variable("VELO_S3_PYTHON"));
        python.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]);
        // The bucket, the user, the key and the policy are made before it begins to ask who calls.
        python
            .env("INITIAL_NO_AUTH_ACTION_COUNT", "4")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = python.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let running = Self(child);
        let mut line = String::new();
        let server = loop {
            line.clear();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the server ended by itself");
            if let Some((_, address)) = line.split_once("Running on http://") {
                break address.trim().to_owned();
            }
        };
        // Its log would fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let iam = |form: &str| {
            let (status, answer) = call(&server, "POST", "/", "iam", &format!("{form}&Version=2010-05-08"));
            assert_eq!(status, 200, "{answer}");
            answer
        };
        iam("Action=CreateUser&UserName=velo");
        let keys = iam("Action=CreateAccessKey&UserName=velo");
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":[{actions}],"Resource":"*"}}]}}"#
        );
        let policy: String = policy.bytes().map(|byte| format!("%{byte:02X}")).collect();
        iam(&format!("Action=PutUserPolicy&UserName=velo&PolicyName=p&PolicyDocument={policy}"));
        let element = |name: &str| {
            let (_, rest) = keys.split_once(&format!("<{name}>")).unwrap();
            rest.split('<').next().unwrap().to_owned()
        };
        let (key, secret) = (element("AccessKeyId"), element("SecretAccessKey"));
        let (status, answer) = call(&server, "PUT", "/state", "s3", "");
        assert_eq!(status, 200, "{answer}");
        (running, Bucket { server, name: "state".to_owned(), key, secret })
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One call of a service at `server`, unsigned; its status and its answer.
fn call(server: &str, method: &str, path: &str, service: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server).unwrap();
    // The server reads there for which of its services the call is.
    let scope = format!(
        "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=x"
    );
    let kind = if service == "iam" { "application/x-www-form-urlencoded" } else { "application/octet-stream" };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {server}\r\nAuthorization: {scope}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}
