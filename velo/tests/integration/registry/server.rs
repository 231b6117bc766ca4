//! The registry as tests use it: asked and filled by calls of its own, as any other program does it.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

/// The registry that the tests were given.
pub struct Registry {
    pub url: String,
}

impl Registry {
    pub fn new() -> Self {
        let url = std::env::var("VELO_REGISTRY");
        Self {
            url: url.unwrap_or_else(|_| {
                panic!("`cargo xtask integration registry` starts a registry and a broker, and says where they are")
            }),
        }
    }

    /// What it answers to a question that it has to have an answer to.
    pub fn get(&self, path: &str) -> Value {
        let (status, answer) = self.call("GET", path, "");
        assert_eq!(status, 200, "{path}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// The latest version of a subject.
    pub fn latest(&self, subject: &str) -> Value {
        self.get(&format!("/subjects/{subject}/versions/latest"))
    }

    /// The numbers of a subject's versions.
    pub fn versions(&self, subject: &str) -> Value {
        self.get(&format!("/subjects/{subject}/versions"))
    }

    /// Registers a schema with what it refers to; gives its id.
    pub fn register(&self, subject: &str, kind: &str, schema: &str, references: &Value) -> u64 {
        let body = json!({"schema": schema, "schemaType": kind, "references": references});
        let (status, answer) = self.call("POST", &format!("/subjects/{subject}/versions"), &body.to_string());
        assert_eq!(status, 200, "{subject}: {answer}");
        serde_json::from_str::<Value>(&answer).unwrap()["id"].as_u64().unwrap()
    }

    fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let (server, before) = self.url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let mut stream = TcpStream::connect(server).unwrap();
        // The oldest version has answers in one piece.
        write!(
            stream,
            "{method} /{before}{path} HTTP/1.0\r\nHost: {server}\r\nContent-Type: application/vnd.schemaregistry.v1+json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}
