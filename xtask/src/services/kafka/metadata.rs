//! The one question that tells whether a cluster is ready: which brokers do you know? Asked in Kafka's own protocol, because a port
//! that takes connections says nothing about the broker behind it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// A broker that is stopped by a signal takes connections and says nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// No answer about brokers alone is longer.
const LONGEST: i32 = 1 << 20;

/// Metadata (key 3), version 1, number 1, no name of a client, no topics.
const REQUEST: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0];

/// How many brokers the one at this port of 127.0.0.1 knows to be ready.
pub(super) fn brokers(port: u16) -> Result<usize> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let what = || format!("the broker at {address} does not answer");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).with_context(what)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&REQUEST).with_context(what)?;
    let mut start = [0; 12];
    stream.read_exact(&mut start).with_context(what)?;
    count(start).with_context(|| format!("what listens at {address} is no broker"))
}

/// An answer begins with its length, the number of the question, and the count of brokers.
fn count(start: [u8; 12]) -> Result<usize> {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = start;
    let (length, number, brokers) =
        (i32::from_be_bytes([a, b, c, d]), i32::from_be_bytes([e, f, g, h]), i32::from_be_bytes([i, j, k, l]));
    if !(8..=LONGEST).contains(&length) || number != 1 {
        bail!("an answer of Kafka's to question 1 was expected, and this came: {start:02x?}");
    }
    usize::try_from(brokers).context("a negative count of brokers")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_length_of_the_question_is_right() {
        let [_, _, _, length, rest @ ..] = REQUEST;
        assert_eq!(usize::from(length), rest.len());
    }

    #[test]
    fn answers() {
        assert_eq!(count([0, 0, 0, 60, 0, 0, 0, 1, 0, 0, 0, 3]).unwrap(), 3);
        let error = count(*b"HTTP/1.1 400").unwrap_err().to_string();
        assert!(error.contains("an answer of Kafka's"), "{error}");
    }

    #[test]
    fn a_broker_is_asked() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let broker = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; REQUEST.len()];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(&[0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1]).unwrap();
            request
        });
        assert_eq!(brokers(port).unwrap(), 1);
        assert_eq!(broker.join().unwrap(), REQUEST);
        assert!(brokers(port).is_err());
    }
}
