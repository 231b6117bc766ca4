//! The ways to run a scenario that must all give the same.
//!
//! A mode is one choice in each of several dimensions. Every scenario runs plainly; beside that, a file takes some modes of a
//! seeded list that covers each pair of choices, and the files together take all of it. The full product is run on demand.

use std::fmt;

use velo_exec::checkpoint::CallFails;

use super::parse::Scenario;

/// How rows are cut into batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Batching {
    /// As the scenario says.
    #[default]
    AsWritten,
    /// At most so many rows a batch.
    Of(usize),
}

/// How sinks commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Commits {
    /// Each by itself what it has prepared.
    #[default]
    Prepared,
    /// All together, in transactions.
    Atomic,
    /// The first, third, … in transactions, the others by themselves.
    Mixed,
}

impl Commits {
    const ALL: [Self; 3] = [Self::Prepared, Self::Atomic, Self::Mixed];

    /// Whether the sink of this number shares transactions.
    pub fn is_atomic(self, sink: usize) -> bool {
        match self {
            Self::Prepared => false,
            Self::Atomic => true,
            Self::Mixed => sink.is_multiple_of(2),
        }
    }
}

/// One way to run a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// The batches.
    pub batching: Batching,
    /// Rows come in another order, within the watermark's bound.
    pub shuffled: bool,
    /// Rows are dealt to this many partitions.
    pub partitions: usize,
    /// Tasks that share the keys.
    pub parallelism: usize,
    /// The script is parsed, printed and parsed again.
    pub reprinted: bool,
    /// The optimiser runs.
    pub optimised: bool,
    /// The job is killed at checkpoints and goes on from them.
    pub killed: bool,
    /// How the sinks of a job that is killed commit.
    pub commits: Commits,
    /// State lies on disk whenever it is not looked at.
    pub spilled: bool,
    /// This very call fails, and the job goes on after that.
    pub fails: Option<FailingCall>,
    /// Decides the order.
    pub seed: u64,
}

/// A call that fails, of all that a job makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailingCall {
    /// Of whom.
    pub of: Called,
    /// Its number, from 1.
    pub number: u64,
    /// Before it is done, or behind.
    pub fails: CallFails,
    /// It is a call of the job that goes on from the first checkpoint, and not of the one before.
    pub resumed: bool,
}

/// Who is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Called {
    /// The store of checkpoints.
    Store,
    /// A sink.
    Sink,
}

impl fmt::Display for FailingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = match self.of {
            Called::Store => "the store",
            Called::Sink => "sinks",
        };
        let when = match self.fails {
            CallFails::Before => "before",
            CallFails::After => "behind",
        };
        let resumed = if self.resumed { ", after a restart" } else { "" };
        write!(f, "{when} call {} of {of} it fails{resumed}", self.number)
    }
}

impl Default for Mode {
    fn default() -> Self {
        Self {
            batching: Batching::AsWritten,
            shuffled: false,
            partitions: 1,
            parallelism: 1,
            reprinted: false,
            optimised: true,
            killed: false,
            commits: Commits::Prepared,
            spilled: false,
            fails: None,
            seed: 0,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        match self.batching {
            Batching::AsWritten => {}
            Batching::Of(1) => words.push("one-row batches".to_owned()),
            Batching::Of(rows) => words.push(format!("batches of {rows}")),
        }
        if self.shuffled {
            words.push(format!("shuffled by {}", self.seed));
        }
        if self.partitions > 1 {
            words.push(format!("{} partitions", self.partitions));
        }
        if self.parallelism > 1 {
            words.push(format!("parallelism {}", self.parallelism));
        }
        if self.reprinted {
            words.push("reprinted".to_owned());
        }
        if !self.optimised {
            words.push("optimiser off".to_owned());
        }
        if self.killed && self.fails.is_none() {
            words.push(format!("killed by {}", self.seed));
        }
        if let Some(call) = self.fails {
            words.push(call.to_string());
        }
        match self.commits {
            Commits::Prepared => {}
            Commits::Atomic => words.push("in transactions".to_owned()),
            Commits::Mixed => words.push("partly in transactions".to_owned()),
        }
        if self.spilled {
            words.push("state on disk".to_owned());
        }
        f.write_str(if words.is_empty() { "plain" } else { "" })?;
        f.write_str(&words.join(", "))
    }
}

const DIMENSIONS: usize = 8;
/// The dimension of [`Mode::killed`].
const KILLED: usize = 6;

/// The choices of each dimension, the plain one first.
const CHOICES: [usize; DIMENSIONS] = [4, 2, 2, 3, 2, 2, 2, 2];

fn mode(choices: [usize; DIMENSIONS], seed: u64) -> Mode {
    let [batching, shuffled, partitions, parallelism, reprinted, optimised, killed, spilled] = choices;
    // Of sinks there is no dimension: what kills a job comes with each of them in turn.
    let commits = match killed {
        0 => Commits::Prepared,
        _ => Commits::ALL[Random::new(seed ^ choices.iter().sum::<usize>() as u64).below(3) as usize],
    };
    Mode {
        batching: [Batching::AsWritten, Batching::Of(1), Batching::Of(2), Batching::Of(8_192)][batching],
        shuffled: shuffled == 1,
        partitions: [1, 3][partitions],
        parallelism: [1, 2, 8][parallelism],
        reprinted: reprinted == 1,
        optimised: optimised == 0,
        killed: killed == 1,
        commits,
        spilled: spilled == 1,
        fails: None,
        seed,
    }
}

impl Mode {
    /// Whether nothing is changed.
    pub fn is_plain(&self) -> bool {
        *self == Self { seed: self.seed, ..Self::default() }
    }

    /// Whether the scenario must give the same in this mode.
    pub fn applies_to(&self, scenario: &Scenario) -> bool {
        // A report names lines of the script, and which of several failing records comes first is a matter of batches.
        let fixed = scenario.plain_only.is_some() || scenario.error.is_some();
        let movable = scenario.order_matters.is_none() && scenario.has_movable_rows();
        self.is_plain() || (!fixed && (movable || !(self.shuffled || self.partitions > 1)))
    }
}

/// Which modes are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modes {
    /// Only plainly.
    Plain,
    /// Plainly, and in four modes a file that the seed chooses.
    Chosen(u64),
    /// The full product, with the seed for shuffling.
    All(u64),
    /// Each call that a job makes to the store of its checkpoints or to a sink fails once, in a run of its own, before it is done and
    /// behind; at the first start of the job and after a restart.
    EachCall,
    /// So many runs from this seed on, each of one scenario in a mode in which its job is killed; the seed of a run decides both.
    Simulated {
        /// The first seed.
        seed: u64,
        /// How many.
        runs: u64,
    },
}

impl Mode {
    /// A mode in which the job is killed, and the rest is chosen by the seed.
    pub fn simulated(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut choices = CHOICES.map(|count| random.below(count as u64) as usize);
        choices[KILLED] = 1;
        mode(choices, seed)
    }
}

impl Mode {
    /// A mode in which one call fails.
    pub fn failing(call: FailingCall, commits: Commits) -> Self {
        Self { killed: true, commits, fails: Some(call), batching: Batching::Of(2), ..Self::default() }
    }
}

/// Modes a file beside the plain one.
const PER_FILE: usize = 4;

impl Modes {
    /// The modes of the `index`-th file; the first is the plain one.
    pub fn of_file(self, index: usize) -> Vec<Mode> {
        match self {
            Self::Plain | Self::EachCall | Self::Simulated { .. } => vec![Mode::default()],
            Self::All(seed) => product().into_iter().map(|choices| mode(choices, seed)).collect(),
            Self::Chosen(seed) => {
                let listed = pairwise(seed);
                let chosen = (0..PER_FILE).map(|at| mode(listed[(index * PER_FILE + at) % listed.len()], seed));
                std::iter::once(Mode::default()).chain(chosen.filter(|mode| !mode.is_plain())).collect()
            }
        }
    }
}

fn product() -> Vec<[usize; DIMENSIONS]> {
    let mut all = vec![[0; DIMENSIONS]];
    for (dimension, count) in CHOICES.iter().enumerate() {
        let with = |choices: &[usize; DIMENSIONS], choice: usize| {
            let mut choices = *choices;
            choices[dimension] = choice;
            choices
        };
        all = all.iter().flat_map(|choices| (0..*count).map(move |choice| with(choices, choice))).collect();
    }
    all
}

/// The pairs of choices that a mode has.
fn pairs(choices: [usize; DIMENSIONS]) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..DIMENSIONS)
        .flat_map(move |one| (one + 1..DIMENSIONS).map(move |other| (one, choices[one], other, choices[other])))
}

/// Modes that together have every pair of choices, in an order that the seed decides.
fn pairwise(seed: u64) -> Vec<[usize; DIMENSIONS]> {
    let mut random = Random::new(seed);
    let mut candidates = product();
    random.shuffle(&mut candidates);
    let mut missing: std::collections::BTreeSet<_> = candidates.iter().flat_map(|choices| pairs(*choices)).collect();
    let mut listed = Vec::new();
    while !missing.is_empty() {
        let fresh = |choices: &&[usize; DIMENSIONS]| pairs(**choices).filter(|pair| missing.contains(pair)).count();
        let Some(best) = candidates.iter().max_by_key(fresh).copied() else { break };
        for pair in pairs(best) {
            missing.remove(&pair);
        }
        listed.push(best);
    }
    listed
}

/// Numbers that a seed reproduces (xorshift, multiplied).
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        // Zero would stay zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, which is not zero.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(limit)) >> 64) as u64
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_begins_with_the_plain_mode() {
        let all = Modes::All(1).of_file(0);
        assert_eq!(all.len(), 768);
        assert!(all[0].is_plain());
        assert_eq!(all[0].to_string(), "plain");
        assert_eq!(all.iter().filter(|mode| mode.is_plain()).count(), 1);
    }

    #[test]
    fn every_pair_is_met_by_few_modes() {
        for seed in 0..5 {
            let listed = pairwise(seed);
            let met: std::collections::BTreeSet<_> = listed.iter().flat_map(|choices| pairs(*choices)).collect();
            let all: std::collections::BTreeSet<_> = product().iter().flat_map(|choices| pairs(*choices)).collect();
            assert_eq!(met, all);
            assert!(listed.len() <= 20, "{} modes", listed.len());
        }
    }

    #[test]
    fn files_share_the_list() {
        let chosen = Modes::Chosen(7);
        assert!(chosen.of_file(0).len() <= 1 + PER_FILE);
        assert_eq!(chosen.of_file(3), chosen.of_file(3));
        assert_ne!(chosen.of_file(0), chosen.of_file(1));
    }

    fn with_rows() -> Scenario {
        let text = "## A\n```sql\n```\n```input t\n```\n```output t\n```\n".to_owned();
        crate::scenario::parse::parse(std::path::Path::new("a.md"), text).unwrap().scenarios.remove(0)
    }

    #[test]
    fn markers_keep_modes_away() {
        let mut scenario = with_rows();
        let dealt = Mode { partitions: 3, ..Mode::default() };
        let wide = Mode { parallelism: 8, ..Mode::default() };
        assert!(dealt.applies_to(&scenario));
        scenario.order_matters = Some("FIRST".to_owned());
        assert!(!dealt.applies_to(&scenario) && wide.applies_to(&scenario));
        scenario.plain_only = Some("reason".to_owned());
        assert!(!wide.applies_to(&scenario) && Mode::default().applies_to(&scenario));
        assert!(!dealt.applies_to(&Scenario::default()) && wide.applies_to(&Scenario::default()));
    }
}
