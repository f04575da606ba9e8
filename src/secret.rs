//! Where a secret comes from. Secrets are never in the config, and never shown.

use std::path::PathBuf;

use secrecy::SecretString;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// Read anew each time it is needed; one trailing line end is dropped.
    File(PathBuf),
    Env(String),
}

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("cannot read the secret file {}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the environment variable {0} is not set, or not UTF-8")]
    Env(String),
    #[error("{0} is empty")]
    Empty(String),
}

impl SecretSource {
    pub fn read(&self) -> Result<SecretString, SecretError> {
        let (text, name) = match self {
            Self::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| SecretError::File { path: path.clone(), source })?;
                (text, path.display().to_string())
            }
            Self::Env(name) => {
                (std::env::var(name).map_err(|_| SecretError::Env(name.clone()))?, name.clone())
            }
        };
        let trimmed = text.strip_suffix('\n').unwrap_or(&text);
        let trimmed = trimmed.strip_suffix('\r').unwrap_or(trimmed);
        // An empty password would turn a simple bind into an anonymous one (RFC 4513 section 5.1.2).
        if trimmed.is_empty() {
            return Err(SecretError::Empty(name));
        }
        Ok(SecretString::from(trimmed.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn one_line_end_is_dropped_and_an_empty_secret_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pw");
        std::fs::write(&path, "geheim \r\n").unwrap();
        assert_eq!(SecretSource::File(path.clone()).read().unwrap().expose_secret(), "geheim ");
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(SecretSource::File(path).read(), Err(SecretError::Empty(_))));
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert!(!format!("{:?}", SecretString::from("geheim".to_owned())).contains("geheim"));
    }
}
