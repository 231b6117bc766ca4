//! What can stand between a job and S3: answers that get lost, conditions that are ignored, no answer at all.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is passed on, and so is its answer.
    Pass,
    /// It is done, and its answer is lost: the caller is told that the service had an error.
    Lose,
    /// It is passed on without its condition.
    Forget,
    /// The connection is closed before anything is done.
    Break,
}

/// Listens on a port of its own and passes calls on to `server`, as `fate` decides by the first line of each; gives the address. It
/// goes on as long as the process.
pub fn start(server: &str, fate: impl Fn(&str) -> Fate + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (server, fate) = (server.to_owned(), Arc::new(fate));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (server, fate) = (server.clone(), Arc::clone(&fate));
            // A caller that is killed breaks its connections off.
            std::thread::spawn(move || pass(stream?, &server, &*fate));
        }
    });
    address
}

/// Passes one call on; then the connection is over.
fn pass(mut stream: TcpStream, server: &str, fate: &dyn Fn(&str) -> Fate) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut head, mut length, mut line) = (String::new(), 0, String::new());
    let mut first = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if first.is_empty() {
            first = line.trim_end().to_owned();
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        if !lower.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let fate = fate(&first);
    if fate == Fate::Break {
        return Ok(());
    }
    if fate == Fate::Forget {
        head =
            head.split_inclusive('\n').filter(|line| !line.to_ascii_lowercase().starts_with("if-none-match")).collect();
    }
    let mut upstream = TcpStream::connect(server)?;
    upstream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    upstream.write_all(&body)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    match fate {
        Fate::Lose => {
            stream.write_all(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        _ => stream.write_all(&answer),
    }
}
