//! What a script says about the job as a whole: by SET, or in the WITH of one of its statements.

use velo_core::duration::Span as Duration;
use velo_core::properties::{Properties as _, PropertySpec, interpolate};
use velo_sql::ast::{Property, Statement, StatementKind};
use velo_sql::{Diagnostic, Span};

use crate::catalog::{JobProperties, Pairs, RecoveryProperties};
use crate::codes;
use crate::planner::Planner;

const CHECKPOINT_DIR: &str = "checkpoint.dir";
const SPILL_DIR: &str = "spill.dir";

/// A value that a setting of the job cannot have.
pub(crate) struct WrongValue {
    message: &'static str,
    help: &'static str,
}

impl WrongValue {
    pub(crate) fn at(&self, place: Span) -> Diagnostic {
        Diagnostic::error(codes::PROPERTY, place, self.message).help(self.help)
    }
}

/// Why a value of the right type cannot be that of a setting about checkpoints, where it cannot.
pub(crate) fn wrong_recovery(key: &str, value: &str) -> Option<WrongValue> {
    let is = |name: &str| key.eq_ignore_ascii_case(name);
    let none = || value.parse() == Ok(Duration(0));
    if is("checkpoint.keep") && value.trim() == "0" {
        let message = "a checkpoint that is not kept cannot be resumed";
        return Some(WrongValue { message, help: "write at least 1, or leave it out: then the last two are kept" });
    }
    if is("checkpoint.timeout") && none() {
        let message = "no checkpoint is finished in no time";
        return Some(WrongValue { message, help: "leave it out: then one may take ten minutes" });
    }
    if is("max.memory.mb") && value.trim() == "0" {
        let message = "no state fits into no memory";
        return Some(WrongValue { message, help: "write how many MiB the state of the job may take, such as 1024" });
    }
    if is(SPILL_DIR) && value.trim().is_empty() {
        let message = "this is no folder";
        return Some(WrongValue { message, help: "name a folder on a fast disk, or leave it out" });
    }
    if is(SPILL_DIR) && value.contains("://") {
        let message = "what does not fit into memory goes to a disk of this machine";
        return Some(WrongValue { message, help: "name a folder, such as '/var/tmp/velo'" });
    }
    if is(CHECKPOINT_DIR) && value.trim().is_empty() {
        let message = "this is no folder";
        return Some(WrongValue { message, help: "name a folder for this job alone, such as 'state/bars'" });
    }
    None
}

/// Whether a script says where its checkpoints lie, wherever it does: what it promises about its sinks depends on that.
pub(crate) fn says_where_checkpoints_lie(statements: &[Statement]) -> bool {
    let is = |key: &str| key.eq_ignore_ascii_case(CHECKPOINT_DIR);
    let says = |properties: &[Property]| properties.iter().any(|property| is(&property.key.text));
    statements.iter().any(|statement| match &statement.kind {
        StatementKind::Set { key, .. } => is(&key.text),
        StatementKind::Create(create) => says(&create.properties.entries),
        StatementKind::Insert(insert) => says(&insert.properties.entries),
        StatementKind::Select(select) => says(&select.properties.entries),
        _ => false,
    })
}

impl Planner<'_> {
    /// Takes what belongs to the job out of the properties of a statement.
    pub(crate) fn take_job_wide(&mut self, pairs: &mut Pairs) {
        let own = pairs.take_where(|key| RecoveryProperties::SPECS.iter().any(|spec| spec.names(key)));
        for (key, value, key_place, value_place) in own.pairs {
            let known = interpolate(&value, &*self.lookup).unwrap_or_default();
            if let Some(wrong) = wrong_recovery(&key, &known) {
                self.error(wrong.at(value_place));
                continue;
            }
            self.job_wide.push((key, value, key_place, value_place));
        }
    }

    /// What SET says about batches and loads.
    pub(crate) fn job_properties(&mut self) -> JobProperties {
        self.read_job(Pairs::default(), JobProperties::SPECS, JobProperties::read)
    }

    /// What the script says about checkpoints and restarts. Two statements that say different things are an error.
    pub(crate) fn recovery_properties(&mut self) -> RecoveryProperties {
        let said = std::mem::take(&mut self.job_wide);
        let of_set = self.settings.clone();
        let mut pairs = Pairs::default();
        for (key, value, key_place, value_place) in said {
            let same = |other: &&(String, String, Span, Span)| other.0.eq_ignore_ascii_case(&key);
            let before = of_set.iter().find(same).or_else(|| pairs.pairs.iter().find(same)).cloned();
            match before {
                Some((_, other, at, _)) if other != value => self.error(
                    Diagnostic::error(
                        codes::CONFLICT,
                        key_place.to(value_place),
                        format!("'{key}' belongs to the job, which has one value of it"),
                    )
                    .also(at, format!("here it is '{other}'"))
                    .help("say it once: SET before the statements is the usual place"),
                ),
                Some(_) => {}
                None => pairs.pairs.push((key, value, key_place, value_place)),
            }
        }
        let mut recovery = self.read_job(pairs, RecoveryProperties::SPECS, RecoveryProperties::read);
        // As other paths, relative to the script.
        for dir in [&mut recovery.dir, &mut recovery.spill_dir].into_iter().flatten() {
            if !dir.contains("://") {
                *dir = self.context.folder.join(&*dir).to_string_lossy().into_owned();
            }
        }
        recovery
    }

    fn read_job<T>(
        &mut self,
        pairs: Pairs,
        specs: &'static [PropertySpec],
        read: impl FnOnce(&mut velo_core::properties::Options) -> T,
    ) -> T {
        let mut options = self.resolver().options(&pairs, &[specs]);
        let properties = read(&mut options);
        let errors = options.take_errors();
        self.resolver().report(errors, &pairs);
        properties
    }
}
