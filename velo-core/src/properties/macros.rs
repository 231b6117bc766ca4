//! The macro that declares properties.

/// Declares a struct of properties: one documented line per key.
///
/// ```
/// use velo_core::properties;
/// use velo_core::properties::{Options, Properties};
/// use velo_core::duration::Span;
///
/// properties! {
///     /// How long to wait.
///     pub struct WaitProperties {
///         /// How long a missing file is waited for.
///         "file.wait.timeout" => timeout: Option<Span>,
///         /// How often it is looked for.
///         "file.retry.interval" | "retry.interval" => interval: Span = Span(1_000_000),
///     }
/// }
///
/// let mut options = Options::from_pairs([("file.wait.timeout", "5s")]);
/// let wait = WaitProperties::read(&mut options);
/// assert_eq!(wait.timeout, Some(Span(5_000_000)));
/// assert_eq!(wait.interval, Span(1_000_000));
/// ```
#[macro_export]
macro_rules! properties {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $( $(#[doc = $doc:literal])+ $key:literal $(| $alias:literal)* => $field:ident : $type:ty $(= $default:expr)? ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $crate::properties!(@default $type $(, $default)?), )+ }
            }
        }

        impl $crate::properties::Properties for $name {
            const SPECS: &'static [$crate::properties::PropertySpec] = &[
                $( $crate::properties::PropertySpec {
                    key: $key,
                    aliases: &[$($alias),*],
                    kind: <$type as $crate::properties::PropertyValue>::kind,
                    default: || <$type as $crate::properties::PropertyValue>::show(&$crate::properties!(@default $type $(, $default)?)),
                    doc: concat!($($doc),+),
                } ),+
            ];

            fn read(options: &mut $crate::properties::Options) -> Self {
                Self {
                    $( $field: options
                        .read::<$type>($key, &[$($alias),*])
                        .unwrap_or_else(|| $crate::properties!(@default $type $(, $default)?)), )+
                }
            }
        }
    };
    (@default $type:ty, $default:expr) => { $default };
    (@default $type:ty) => { <$type as Default>::default() };
}
