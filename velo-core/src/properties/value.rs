//! How a property's text becomes a value.

use crate::duration::{ByteSize, Span};
use crate::secret::Secret;

/// A type that a property can have.
pub trait PropertyValue: Sized {
    /// The value that `text` writes, or what was expected.
    fn parse(text: &str) -> Result<Self, String>;

    /// The kind of value, for the reference: `duration`, `text`, or the choices.
    fn kind() -> String;

    /// The value as a user would write it; `None` where it is not set.
    fn show(&self) -> Option<String>;
}

impl<T: PropertyValue> PropertyValue for Option<T> {
    fn parse(text: &str) -> Result<Self, String> {
        T::parse(text).map(Some)
    }

    fn kind() -> String {
        T::kind()
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }
}

impl PropertyValue for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn kind() -> String {
        "text".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(self.clone())
    }
}

impl PropertyValue for Secret {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self::new(text))
    }

    fn kind() -> String {
        "secret".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some("***".to_owned())
    }
}

impl PropertyValue for bool {
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Ok(true),
            "false" | "off" | "no" | "0" => Ok(false),
            _ => Err(format!("'{text}' is neither true nor false")),
        }
    }

    fn kind() -> String {
        "true or false".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl PropertyValue for char {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "\\t" || text.eq_ignore_ascii_case("tab") {
            return Ok('\t');
        }
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(format!("'{text}' is not one character")),
        }
    }

    fn kind() -> String {
        "one character".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(if *self == '\t' { "\\t".to_owned() } else { self.to_string() })
    }
}

macro_rules! number {
    ($($type:ty),+) => { $(
        impl PropertyValue for $type {
            fn parse(text: &str) -> Result<Self, String> {
                text.trim().replace('_', "").parse().map_err(|_| {
                    format!("'{text}' is no whole number between {} and {}", <$type>::MIN, <$type>::MAX)
                })
            }

            fn kind() -> String {
                "whole number".to_owned()
            }

            fn show(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )+ };
}

number!(u16, u32, u64, usize, i32, i64);

macro_rules! from_str {
    ($($type:ty, $kind:literal);+) => { $(
        impl PropertyValue for $type {
            fn parse(text: &str) -> Result<Self, String> {
                text.parse()
            }

            fn kind() -> String {
                $kind.to_owned()
            }

            fn show(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )+ };
}

from_str!(Span, "duration"; ByteSize, "size");

/// The one of `choices` that `text` names, without regard to case; the error lists them.
pub fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let wanted = text.trim();
    choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value).ok_or_else(|| {
        let names = choices.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let mut message = format!("'{text}' is not one of {}", names.join(", "));
        if let Some(near) = crate::suggest::nearest(wanted, names.iter().copied()) {
            message.push_str(&format!("; did you mean '{near}'?"));
        }
        message
    })
}

/// Implements [`PropertyValue`] for a plain enum; the first name of a variant is the one that is shown.
#[macro_export]
macro_rules! property_choices {
    ($type:ty { $( $variant:ident = $name:literal $(| $other:literal)* ),+ $(,)? }) => {
        impl $crate::properties::PropertyValue for $type {
            fn parse(text: &str) -> Result<Self, String> {
                $crate::properties::choice(text, &[$( ($name, Self::$variant), $( ($other, Self::$variant), )* )+])
            }

            fn kind() -> String {
                [$( concat!("`", $name, "`") ),+].join(", ")
            }

            fn show(&self) -> Option<String> {
                Some(match self { $( Self::$variant => $name, )+ }.to_owned())
            }
        }
    };
}
