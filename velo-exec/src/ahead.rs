//! The next of many is made while the last is taken.

use std::sync::mpsc::sync_channel;

use crate::error::Result;

/// So many are made before they are taken, at most.
const AHEAD: usize = 2;

/// So many rows are worth a thread.
const MANY: usize = 1 << 18;

/// Hands all that `items` gives to `take`, in its order, up to the first error. Where they have very many `rows`, those to come are made
/// on a thread of their own meanwhile; what comes of it is the same.
pub(crate) fn ahead<T: Send>(
    rows: usize,
    mut items: impl Iterator<Item = Result<T>> + Send,
    mut take: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    if rows < MANY {
        return items.try_for_each(|item| take(item?));
    }
    let (sender, receiver) = sync_channel(AHEAD);
    std::thread::scope(|scope| {
        // Where nobody takes them any more, the rest is of no use.
        scope.spawn(move || items.try_for_each(|item| sender.send(item)).is_ok());
        receiver.into_iter().try_for_each(|item| take(item?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ExecError;

    fn failure<T>() -> Result<T> {
        Err(ExecError::Internal("it fails".to_owned()))
    }

    #[test]
    fn what_comes_is_the_same_with_and_without_a_thread() {
        for rows in [0, MANY] {
            let taken = |items: &mut (dyn Iterator<Item = Result<u32>> + Send), fails_at: u32| {
                let mut taken = Vec::new();
                let result = ahead(rows, items, |item| {
                    taken.push(item);
                    if item == fails_at { failure() } else { Ok(()) }
                });
                (taken, result.is_ok())
            };
            assert_eq!(taken(&mut (0..100).map(Ok::<u32, ExecError>), 100), ((0..100).collect(), true));
            assert_eq!(
                taken(&mut (0..).map(Ok::<u32, ExecError>), 7),
                ((0..8).collect(), false),
                "what never ends is left"
            );
            let mut breaks = (0..9).map(|item| if item == 5 { failure() } else { Ok(item) });
            assert_eq!(taken(&mut breaks, 9), ((0..5).collect(), false));
            assert_eq!(taken(&mut std::iter::empty(), 0), (vec![], true));
        }
    }
}
