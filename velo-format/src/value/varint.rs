//! Whole numbers in seven bits a byte, the lowest first, as Protobuf, Avro and the wire format of schema registries have them.

/// Why a number cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The bytes end within it.
    CutOff,
    /// It has more than 64 bits.
    TooLong,
}

/// The number that `bytes` begin with, and how many of them it takes.
#[inline]
pub(crate) fn varint(bytes: &[u8]) -> Result<(u64, usize), Broken> {
    match bytes.first() {
        Some(byte) if *byte < 0x80 => Ok((u64::from(*byte), 1)),
        _ => of_many(bytes),
    }
}

fn of_many(bytes: &[u8]) -> Result<(u64, usize), Broken> {
    let mut value = 0_u64;
    for (count, byte) in bytes.iter().take(10).enumerate() {
        let bits = u64::from(byte & 0x7F);
        if count == 9 && bits > 1 {
            break;
        }
        value |= bits << (7 * count);
        if *byte < 0x80 {
            return Ok((value, count + 1));
        }
    }
    Err(if bytes.len() < 10 { Broken::CutOff } else { Broken::TooLong })
}

/// Appends a number.
#[inline]
pub(crate) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The signed number of a zigzag form, in which small ones are short whatever their sign.
#[inline(always)]
pub(crate) fn from_zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// The zigzag form of a signed number.
#[inline(always)]
pub(crate) fn to_zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            push_varint(&mut bytes, value);
            assert_eq!(varint(&bytes), Ok((value, bytes.len())));
            assert_eq!(varint(&bytes[..bytes.len() - 1]), Err(Broken::CutOff));
            assert_eq!(to_zigzag(from_zigzag(value)), value);
        }
        assert_eq!([0, 1, 2, 3].map(from_zigzag), [0, -1, 1, -2]);
        assert_eq!(varint(&[0xFF; 10]), Err(Broken::TooLong));
    }
}
