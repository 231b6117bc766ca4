//! Positions that a cluster no longer has: what is told of them, and where reading goes on.

use velo_core::error::ErrorKind;
use velo_core::{ConnectorError, Result};

use crate::properties::OffsetLost;

impl OffsetLost {
    /// Where reading goes on in a partition at `from`, or where that is no longer there: it has those from `first` to before `behind`.
    ///
    /// # Errors
    ///
    /// Where the script wants none to be passed over.
    pub(crate) fn goes_on(
        self,
        (topic, partition): (&str, i32),
        from: i64,
        (first, behind): (i64, i64),
    ) -> Result<i64> {
        if (first..=behind).contains(&from) {
            return Ok(from);
        }
        let message = format!(
            "topic {topic}, partition {partition}: offset {from}, where reading goes on, is no longer there; there are those from {first} to before {behind}"
        );
        let on = match self {
            Self::Earliest => first,
            Self::Latest => behind,
            Self::Fail => {
                return Err(ConnectorError::new(ErrorKind::OffsetLost, "reading", message).advise(
                    "'offset.lost' = 'earliest' goes on at the first that is there, 'latest' behind the last; what is between is not read",
                ));
            }
        };
        tracing::warn!("{message}; going on at {on}, as 'offset.lost' says");
        Ok(on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_that_is_there_is_gone_on_at_whatever_the_script_says() {
        let on = |lost: OffsetLost, from| lost.goes_on(("t", 3), from, (6, 9)).map_err(|error| error.to_string());
        for lost in [OffsetLost::Fail, OffsetLost::Earliest, OffsetLost::Latest] {
            assert_eq!((on(lost, 6), on(lost, 9)), (Ok(6), Ok(9)));
        }
        // Deleted, and of a topic that was made anew.
        for gone in [5, 10] {
            assert_eq!((on(OffsetLost::Earliest, gone), on(OffsetLost::Latest, gone)), (Ok(6), Ok(9)));
            let told = on(OffsetLost::Fail, gone).unwrap_err();
            assert!(
                told.contains(&format!("topic t, partition 3: offset {gone}")) && told.contains("from 6 to before 9")
            );
        }
    }
}
