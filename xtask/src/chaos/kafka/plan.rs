//! Which trouble comes in which round: a seed decides.

use crate::chaos::trouble::Random;

/// What goes wrong in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The job is killed and started again.
    Killed,
    /// The job is frozen, another process takes it over, and the frozen one goes on.
    Frozen,
    /// A broker is killed, and started again some seconds later.
    Broker,
    /// The leader of a partition is killed and comes back, and then all leaders are moved by an election.
    Leader,
    /// The input topic gets more partitions.
    Partitions,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [Self::Killed, Self::Frozen, Self::Broker, Self::Leader, Self::Partitions];

    /// What happened, for the report.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Killed => "the job was killed and started again",
            Self::Frozen => "the job was frozen, replaced, and stopped when it went on",
            Self::Broker => "a broker was killed and started again",
            Self::Leader => "leaders were moved: one was killed, and came back by an election of preferred leaders",
            Self::Partitions => "the input topic got more partitions",
        }
    }
}

/// A round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) kind: Kind,
    /// The job is killed in the midst of it, where it is not killed or replaced anyway.
    pub(super) killed_too: bool,
    /// Rows have to come through before the next round begins; otherwise that meets a job that may still be starting.
    pub(super) recovers: bool,
}

/// The topic gets more partitions so often at most: each of them stays.
const GROWTHS: usize = 3;

/// So many rounds: the first five have each kind once.
pub(super) fn plan(rounds: usize, random: &mut Random) -> Vec<Round> {
    let mut first = Kind::ALL.to_vec();
    let mut growths = 0;
    let mut planned = Vec::with_capacity(rounds);
    while planned.len() < rounds {
        let kind = if first.is_empty() {
            match random.below(11) {
                0..=3 => Kind::Killed,
                4..=5 => Kind::Frozen,
                6..=8 => Kind::Broker,
                9 => Kind::Leader,
                _ if growths < GROWTHS => Kind::Partitions,
                _ => Kind::Leader,
            }
        } else {
            first.remove(random.below(first.len() as u64) as usize)
        };
        growths += usize::from(kind == Kind::Partitions);
        let (killed_too, recovers) = (random.below(2) == 0, random.below(2) == 0);
        let killed_too = killed_too && !matches!(kind, Kind::Killed | Kind::Frozen);
        planned.push(Round { kind, killed_too, recovers });
    }
    planned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_all() {
        let of = |seed| plan(40, &mut Random::new(seed));
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(9));
        assert!(plan(0, &mut Random::new(7)).is_empty());
    }

    #[test]
    fn a_short_run_has_each_kind() {
        for seed in 0..50 {
            let rounds = plan(Kind::ALL.len(), &mut Random::new(seed));
            for kind in Kind::ALL {
                assert_eq!(rounds.iter().filter(|round| round.kind == kind).count(), 1, "{seed} {kind:?}");
            }
        }
    }

    #[test]
    fn partitions_do_not_come_without_end() {
        let rounds = plan(1_000, &mut Random::new(3));
        let count = |kind| rounds.iter().filter(|round| round.kind == kind).count();
        assert_eq!(count(Kind::Partitions), GROWTHS);
        assert!(Kind::ALL.iter().all(|kind| *kind == Kind::Partitions || count(*kind) > 100));
        assert!(rounds.iter().all(|round| !round.killed_too || round.kind != Kind::Frozen));
        assert!(rounds.iter().any(|round| round.killed_too && !round.recovers));
    }
}
