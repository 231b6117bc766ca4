//! Typed properties: each is declared once, with its type, default and documentation.
//!
//! [`properties!`](crate::properties!) turns a documented list of keys into a struct, its reader and the table of
//! [`PropertySpec`]s that unknown-key errors, `velo properties` and the reference page come from. [`Options`] are the keys
//! and values that a statement gives; after all readers have taken theirs, [`Options::finish`] reports what is left over.

pub mod config_file;
mod interpolate;
mod macros;
mod options;
pub mod secrets;
mod value;

pub use interpolate::interpolate;
pub use options::{Entry, Options, PropertyError};
pub use value::{PropertyValue, choice};

/// What is known about one property.
#[derive(Debug)]
pub struct PropertySpec {
    /// The key as documented.
    pub key: &'static str,
    /// Other accepted spellings of the key.
    pub aliases: &'static [&'static str],
    /// The kind of value: `duration`, `text`, `true or false`, or the choices.
    pub kind: fn() -> String,
    /// The default as a user would write it; `None` where there is none.
    pub default: fn() -> Option<String>,
    /// What it means.
    pub doc: &'static str,
}

impl PropertySpec {
    /// Whether `key` means this property, in whatever case and spelling.
    pub fn names(&self, key: &str) -> bool {
        std::iter::once(&self.key).chain(self.aliases).any(|name| name.eq_ignore_ascii_case(key))
    }
}

/// A struct of properties made by [`properties!`](crate::properties!).
pub trait Properties: Sized {
    /// The keys it reads, in declaration order.
    const SPECS: &'static [PropertySpec];

    /// Takes its keys out of `options`. A value that does not parse is noted there and the default is used, so that all
    /// mistakes come at once.
    fn read(options: &mut Options) -> Self;
}
