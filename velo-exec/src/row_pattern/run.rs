//! The search for the match that begins at one row: threads in the order of preference, each row taken once.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use super::context::{NO_GROUP, NO_ROW};
use super::program::Next;
use super::{Conditions, Program, Row};

/// No node: that of no row.
const ROOT: u32 = u32::MAX;

/// The most threads of one search. Only conditions over aggregates, which tell ways through the pattern apart that differ in
/// any row, can need so many.
pub(crate) const MOST_THREADS: usize = 10_000;

/// A row that was taken, and those before it.
#[derive(Debug, Clone, Copy)]
struct Node {
    parent: u32,
    /// Which rows the aggregates have counted: equal numbers of one search are equal rows.
    history: u32,
    /// The aggregates' state.
    group: u32,
    variable: u8,
}

/// A way through the pattern that waits for a row.
#[derive(Debug, Clone, Copy)]
struct Thread {
    place: u32,
    node: u32,
}

/// A match, unless one that is preferred to it comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    node: u32,
    /// The number of its last row; that of the row before the first where it has none.
    pub(crate) end: u64,
}

impl Candidate {
    pub(crate) fn is_empty(self) -> bool {
        self.node == ROOT
    }
}

/// A search.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) start: u64,
    pub(crate) time: i64,
    /// The number of the row that it takes next.
    pub(crate) next: u64,
    nodes: Vec<Node>,
    /// What the nodes remember, where conditions ask for it.
    slots: Vec<u32>,
    threads: Vec<Thread>,
    pub(crate) candidate: Option<Candidate>,
    /// By row: the places that were tried at it, as bits.
    tried: Vec<u64>,
    histories: u32,
}

/// What a step needs besides the run, used again for every one.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    next: Vec<Thread>,
    /// By place: the step in which a thread came to it.
    came: Vec<u64>,
    step: u64,
    /// Threads by what tells them apart, the first of each; and by thread the one before it with the same hash.
    known: HashMap<u64, u32>,
    before: Vec<u32>,
    histories: Vec<((u32, u8), u32)>,
    slots: Vec<u32>,
}

/// The search has too many threads.
#[derive(Debug)]
pub(crate) struct TooMany;

impl Run {
    /// Begins at a row.
    pub(crate) fn begin(&mut self, program: &Program, start: u64, time: i64) {
        (self.start, self.time, self.next) = (start, time, start);
        self.nodes.clear();
        self.slots.clear();
        self.threads.clear();
        self.tried.clear();
        self.histories = 0;
        self.candidate = None;
        for next in &program.first {
            match next {
                Next::Row(place) => self.threads.push(Thread { place: *place, node: ROOT }),
                Next::Accept => self.candidate = Some(Candidate { node: ROOT, end: start.wrapping_sub(1) }),
            }
        }
    }

    /// Whether nothing is left that could change what was found.
    pub(crate) fn is_decided(&self) -> bool {
        self.threads.is_empty()
    }

    fn history(&self, node: u32) -> u32 {
        self.nodes.get(node as usize).map_or(0, |node| node.history)
    }

    /// What a node remembers, into `slots`.
    fn remembered(&self, node: u32, slots: &mut Vec<u32>, width: usize) {
        slots.clear();
        match node {
            ROOT => slots.resize(width, NO_ROW),
            node => slots.extend_from_slice(&self.slots[node as usize * width..(node as usize + 1) * width]),
        }
    }

    /// The variables that threads could take `row` as, each with the state of its aggregates before it and, in `slots`, what
    /// it would remember; as far as the row's own conditions let it. In the order in which [`Self::step`] asks for the answers.
    pub(crate) fn ask(
        &self,
        conditions: &Conditions,
        program: &Program,
        row: &Row,
        slots: &mut Vec<u32>,
        scratch: &mut Scratch,
        mut take: impl FnMut(u8, u32),
    ) {
        let width = conditions.context.slots();
        let depth = (self.next - self.start) as u32;
        for thread in &self.threads {
            let variable = program.variables[thread.place as usize];
            if row.holds & (1 << variable) == 0 || !conditions.asks(variable) {
                continue;
            }
            let group = self.nodes.get(thread.node as usize).map_or(NO_GROUP, |node| node.group);
            take(variable, group);
            self.remembered(thread.node, &mut scratch.slots, width);
            conditions.context.remember(&mut scratch.slots, variable, depth);
            slots.extend_from_slice(&scratch.slots);
        }
    }

    /// Takes a row. `answers` has, for each thread that was asked about, whether its condition holds, and the state of its
    /// aggregates with the row.
    pub(crate) fn step(
        &mut self,
        conditions: &Conditions,
        program: &Program,
        row: &Row,
        mut answers: impl Iterator<Item = (bool, u32)>,
        scratch: &mut Scratch,
    ) -> Result<(), TooMany> {
        let simple = conditions.is_simple();
        let width = conditions.context.slots();
        let depth = (self.next - self.start) as u32;
        let found = self.next;
        self.next += 1;
        scratch.step += 1;
        scratch.came.resize(program.places(), 0);
        scratch.next.clear();
        scratch.known.clear();
        scratch.before.clear();
        scratch.histories.clear();
        let memo = conditions.remembers_failures();
        let mut tried = 0;
        'threads: for at in 0..self.threads.len() {
            let thread = self.threads[at];
            let variable = program.variables[thread.place as usize];
            if memo {
                tried |= 1 << thread.place;
                if row.dead & (1 << thread.place) != 0 {
                    continue;
                }
            }
            if row.holds & (1 << variable) == 0 {
                continue;
            }
            let mut group = NO_GROUP;
            if conditions.asks(variable) {
                let holds: bool;
                (holds, group) = answers.next().unwrap_or((false, NO_GROUP));
                if !holds {
                    continue;
                }
            }
            let mut history = 0;
            if !simple {
                let (before, class) = (self.history(thread.node), conditions.class(variable));
                history = match class {
                    0 => before,
                    _ => match scratch.histories.iter().find(|(known, _)| *known == (before, class)) {
                        Some((_, history)) => *history,
                        None => {
                            self.histories += 1;
                            scratch.histories.push(((before, class), self.histories));
                            self.histories
                        }
                    },
                };
                self.remembered(thread.node, &mut scratch.slots, width);
                conditions.context.remember(&mut scratch.slots, variable, depth);
                self.slots.extend_from_slice(&scratch.slots);
            }
            let node = self.nodes.len() as u32;
            self.nodes.push(Node { parent: thread.node, history, group, variable });
            for next in &program.follow[thread.place as usize] {
                match next {
                    Next::Accept => {
                        // What comes behind is not as good, and what came before may still be better.
                        self.candidate = Some(Candidate { node, end: found });
                        break 'threads;
                    }
                    Next::Row(place) => {
                        if self.is_new(conditions, *place, node, scratch) {
                            scratch.next.push(Thread { place: *place, node });
                        }
                    }
                }
            }
        }
        if memo {
            self.tried.push(tried);
        }
        std::mem::swap(&mut self.threads, &mut scratch.next);
        if self.threads.len() > MOST_THREADS { Err(TooMany) } else { Ok(()) }
    }

    /// Whether no thread came to a place before for which everything that is still to come is the same.
    fn is_new(&self, conditions: &Conditions, place: u32, node: u32, scratch: &mut Scratch) -> bool {
        let relevant = conditions.relevant(place);
        let came = std::mem::replace(&mut scratch.came[place as usize], scratch.step) == scratch.step;
        if relevant.is_nothing() {
            return !came;
        }
        let width = conditions.context.slots();
        let own = |node: u32| &self.slots[node as usize * width..(node as usize + 1) * width];
        let history = |node: u32| if relevant.aggregates { self.history(node) } else { 0 };
        let mut hasher = std::collections::hash_map::DefaultHasher::new();
        (place, history(node)).hash(&mut hasher);
        for anchor in &relevant.anchors {
            conditions.context.named(own(node), *anchor).hash(&mut hasher);
        }
        let hash = hasher.finish();
        let number = scratch.next.len() as u32;
        scratch.before.resize(scratch.next.len() + 1, NO_ROW);
        let first = scratch.known.get(&hash).copied().unwrap_or(NO_ROW);
        let mut other = first;
        while let Some(known) = scratch.next.get(other as usize) {
            let same = known.place == place
                && history(known.node) == history(node)
                && relevant.anchors.iter().all(|anchor| conditions.context.same(own(known.node), own(node), *anchor));
            if same {
                return false;
            }
            other = scratch.before[other as usize];
        }
        scratch.before[number as usize] = first;
        scratch.known.insert(hash, number);
        true
    }

    /// By row from the first on: the places that were tried. Nothing came of them where nothing was found.
    pub(crate) fn tried(&self) -> &[u64] {
        &self.tried
    }

    /// The variables of a match's rows, into `labels`.
    pub(crate) fn labels(&self, candidate: Candidate, labels: &mut Vec<u8>) {
        labels.clear();
        let mut at = candidate.node;
        while let Some(node) = self.nodes.get(at as usize) {
            labels.push(node.variable);
            at = node.parent;
        }
        labels.reverse();
    }

    /// The groups of the threads' aggregates, into `groups`.
    pub(crate) fn groups(&self, groups: &mut Vec<u32>) {
        let nodes = self.threads.iter().filter_map(|thread| self.nodes.get(thread.node as usize));
        groups.extend(nodes.map(|node| node.group).filter(|group| *group != NO_GROUP));
    }

    /// Gives the groups of the threads' aggregates their new numbers, which are looked up among the old ones in order.
    pub(crate) fn renumber(&mut self, old: &[u32]) {
        let mut last = ROOT;
        for at in 0..self.threads.len() {
            // Threads of one node stand side by side.
            let number = std::mem::replace(&mut last, self.threads[at].node);
            if number == last {
                continue;
            }
            if let Some(node) = self.nodes.get_mut(last as usize)
                && node.group != NO_GROUP
            {
                node.group = old.binary_search(&node.group).map_or(node.group, |number| number as u32);
            }
        }
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
            + self.slots.capacity() * 4
            + self.threads.capacity() * size_of::<Thread>()
            + self.tried.capacity() * 8
    }
}
