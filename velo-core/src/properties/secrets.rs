//! A file of secrets: one `NAME=value` per line, `#` for comments, as other tools read `.env` files.

use std::collections::BTreeMap;
use std::path::Path;

use crate::secret::Secret;

/// The secrets of a file by name. The error says which file and line.
pub fn load(path: &Path) -> Result<BTreeMap<String, Secret>, String> {
    let shown = path.display();
    let entries =
        dotenvy::from_path_iter(path).map_err(|error| format!("the secrets file {shown} cannot be read: {error}"))?;
    entries
        .map(|entry| match entry {
            Ok((name, value)) => Ok((name, Secret::new(value))),
            // The library's message shows the line, which may hold the secret itself.
            Err(dotenvy::Error::LineParse(_, at)) => {
                Err(format!("the secrets file {shown} has a line that is not NAME=value (near byte {at} of it)"))
            }
            Err(error) => Err(format!("the secrets file {shown} cannot be read: {error}")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_and_no_leak() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.env");
        std::fs::write(&path, "# mine\nTOKEN=abc\nOTHER=\"x y\"\n").unwrap();
        let secrets = load(&path).unwrap();
        assert_eq!(secrets["TOKEN"].expose(), "abc");
        assert_eq!(secrets["OTHER"].expose(), "x y");
        assert_eq!(format!("{:?}", secrets["TOKEN"]), "***");
        std::fs::write(&path, "TOKEN hunter2 secret\n").unwrap();
        assert!(!load(&path).unwrap_err().contains("hunter2"));
    }
}
