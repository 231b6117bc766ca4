//! Which fields of a record are wanted, as a tree of names.

use velo_core::connector::DecodeColumn;

use super::read::same_folded;

/// The wanted fields of one object.
#[derive(Debug, Default)]
pub(crate) struct Object {
    pub(crate) slots: Vec<Slot>,
}

/// One wanted field.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Its number in the whole tree.
    pub(crate) number: usize,
    pub(crate) name: String,
    /// Its whole path, for messages.
    pub(crate) path: String,
    /// Only this very name will do.
    exact: bool,
    /// The columns that take its value.
    pub(crate) columns: Vec<usize>,
    /// What is wanted from within it; without slots its own value is all.
    pub(crate) inner: Object,
}

/// All wanted fields.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) top: Object,
    /// Wanted fields of what the record stands in (an envelope); the record's own reading leaves them alone.
    pub(crate) around: Object,
    /// How many slots the tree has.
    pub(crate) slots: usize,
    /// Names at the top level that are declared though nothing wants them: they are not unknown.
    pub(crate) declared: Vec<String>,
}

impl Plan {
    pub(crate) fn new(columns: &[DecodeColumn], declared: Vec<String>) -> Self {
        Self::split(columns, declared, |_| None)
    }

    /// The same, with the columns for which `around` gives a path wanted of what the record stands in.
    pub(crate) fn split(
        columns: &[DecodeColumn],
        declared: Vec<String>,
        around: impl Fn(&DecodeColumn) -> Option<Vec<String>>,
    ) -> Self {
        let mut plan = Self { top: Object::default(), around: Object::default(), slots: 0, declared };
        for (at, column) in columns.iter().enumerate() {
            match around(column) {
                Some(path) => plan.around.want(&path, "", column.exact, at, &mut plan.slots),
                None => plan.top.want(&column.path, "", column.exact, at, &mut plan.slots),
            }
        }
        plan
    }

    /// Whether a field that nothing wants is known nevertheless.
    pub(crate) fn is_declared(&self, key: &[u8]) -> bool {
        self.declared.iter().any(|name| same_folded(name, key))
    }
}

impl Object {
    fn want(&mut self, path: &[String], parent: &str, exact: bool, column: usize, slots: &mut usize) {
        let Some((name, rest)) = path.split_first() else { return };
        let at = self.slots.iter().position(|slot| slot.name == *name).unwrap_or_else(|| {
            let number = *slots;
            *slots += 1;
            let inner = Self::default();
            let path = format!("{parent}{name}");
            self.slots.push(Slot { number, name: name.clone(), path, exact, columns: Vec::new(), inner });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[at];
        slot.exact &= exact;
        if rest.is_empty() {
            slot.columns.push(column);
        } else {
            slot.inner.want(rest, &format!("{}.", slot.path), exact, column, slots);
        }
    }

    /// The slot of a field, and whether its name matches exactly. `hint` is where it is looked for first.
    #[inline]
    pub(crate) fn find(&self, key: &[u8], hint: usize) -> Option<(usize, bool)> {
        if let Some(slot) = self.slots.get(hint)
            && slot.name.as_bytes() == key
        {
            return Some((hint, true));
        }
        if let Some(at) = self.slots.iter().position(|slot| slot.name.as_bytes() == key) {
            return Some((at, true));
        }
        let folded = self.slots.iter().position(|slot| !slot.exact && same_folded(&slot.name, key));
        folded.map(|at| (at, false))
    }
}

impl Slot {
    /// Calls `visit` with every column in this slot and within it.
    pub(crate) fn each_column(&self, visit: &mut impl FnMut(usize)) {
        self.columns.iter().for_each(|column| visit(*column));
        self.inner.slots.iter().for_each(|slot| slot.each_column(visit));
    }

    /// Calls `visit` with the number of every slot within this one.
    pub(crate) fn each_inner(&self, visit: &mut impl FnMut(usize)) {
        for slot in &self.inner.slots {
            visit(slot.number);
            slot.each_inner(visit);
        }
    }
}
