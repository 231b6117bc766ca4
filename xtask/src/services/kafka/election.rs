//! The request for an election of preferred leaders, which the client library does not offer: in Kafka's own protocol, like the
//! question of [`super::metadata`].

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long an answer may take; the cluster is told to need less.
const PATIENCE: Duration = Duration::from_secs(30);

/// ElectLeaders (key 43), version 1, number 1, no name of a client, the preferred ones, of all partitions, within 20 s. It is any broker's
/// to pass on to the controller. Version 0 elects nobody where it names no partitions.
const REQUEST: [u8; 23] =
    [0, 0, 0, 19, 0, 43, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x4e, 0x20];

/// Asks the broker at this port of 127.0.0.1 to have the first replica of each partition elected as its leader.
pub(super) fn prefer_leaders(port: u16) -> Result<()> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let what = || format!("the broker at {address} does not hold an election");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).with_context(what)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&REQUEST).with_context(what)?;
    // Its length, the number of the question, how long the client was throttled, and what is wrong as a whole. What became of each
    // partition the topics themselves say.
    let mut start = [0; 14];
    stream.read_exact(&mut start).with_context(what)?;
    let [_, _, _, _, 0, 0, 0, 1, _, _, _, _, error @ ..] = start else {
        bail!("an answer of Kafka's to question 1 was expected, and this came: {start:02x?}");
    };
    match i16::from_be_bytes(error) {
        0 => Ok(()),
        code => bail!("the broker at {address} refused an election of leaders with Kafka's error code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_the_question_is_right() {
        let [_, _, _, length, rest @ ..] = REQUEST;
        assert_eq!(usize::from(length), rest.len());
    }
}
