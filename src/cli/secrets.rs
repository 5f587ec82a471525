//! Secrets on their way in (a file or the standard input, never the argument list) and out (a file of mode 0600).

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::failure::Failure;
use super::shell::Shell;
use crate::domain::text::PREFIX;

/// No secret, and no header that carries one, is longer than this, in bytes.
const LONGEST: usize = 8 * 1024;
/// So many characters after the environment are more than a name: an id has 22, a secret 43.
const TELLING: usize = 16;

/// Where a secret is read from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    Stdin,
    File(PathBuf),
}

impl Source {
    /// `-` is the standard input, all else a path.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "-" => Ok(Self::Stdin),
            "" => Err("expected a path, or - for the standard input".into()),
            path => Ok(Self::File(path.into())),
        }
    }

    /// Reads one line, without its end. `what` names it in errors and at the prompt.
    pub(crate) fn read(
        &self,
        what: &str,
        shell: &mut Shell<'_>,
    ) -> Result<Zeroizing<String>, Failure> {
        let read = match self {
            Self::Stdin => {
                let typed = shell.stdin_is_terminal;
                let unseen = typed.then(|| {
                    shell.note(&format!("Enter the {what}; it is not shown:"));
                    Unseen::begin()
                });
                let line = read_line(shell.stdin, typed);
                drop(unseen);
                line
            }
            Self::File(path) => File::open(path).and_then(|mut file| read_line(&mut file, false)),
        };
        let from = match self {
            Self::Stdin => "the standard input".to_owned(),
            Self::File(path) => path.display().to_string(),
        };
        let line = read.map_err(|error| {
            Failure::local(format!("cannot read the {what} from {from}: {error}"))
        })?;
        if line.is_empty() {
            return Err(Failure::local(format!("there is no {what} in {from}")));
        }
        Ok(line)
    }
}

/// A new file that only its owner can read, made before the secret is, so that no secret is lost for want of a place.
#[derive(Debug)]
pub(crate) struct SecretFile {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl SecretFile {
    /// Makes the file; one that exists is refused, never overwritten.
    pub(crate) fn reserve(path: &Path) -> Result<Self, Failure> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| Failure::local(format!("cannot make {}: {error}", path.display())))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            kept: false,
        })
    }

    /// Writes the secret and a line end; returns the path.
    pub(crate) fn keep(mut self, secret: &str) -> Result<PathBuf, Failure> {
        writeln!(self.file, "{secret}")
            .and_then(|()| self.file.sync_all())
            .map_err(|error| {
                Failure::local(format!("cannot write {}: {error}", self.path.display()))
            })?;
        self.kept = true;
        Ok(self.path.clone())
    }
}

impl Drop for SecretFile {
    /// A file that got no secret is taken away again.
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// While this lives, the terminal does not show what is typed.
struct Unseen(Option<Termios>);

impl Unseen {
    fn begin() -> Self {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut silent = before.clone();
            silent.local_modes.remove(LocalModes::ECHO);
            silent.local_modes.insert(LocalModes::ECHONL);
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &silent);
        }
        Self(before)
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Refuses a command line that holds a secret: it is in the shell's history and in every process list by now.
pub(crate) fn refuse_in_arguments(arguments: &[OsString]) -> Result<(), Failure> {
    let position = arguments
        .iter()
        .position(|argument| holds_secret(&argument.to_string_lossy()));
    match position {
        None => Ok(()),
        Some(position) => Err(Failure::usage(format!(
            "argument {position} looks like a token's secret text; secrets are read from a file or the standard input, \
             never from the command line"
        ))
        .with_hint(
            "this one is in the shell's history now: rekey it. Use --token-file, --token-stdin or --text-file",
        )),
    }
}

fn holds_secret(argument: &str) -> bool {
    looks_like_text(argument)
        || argument.split_whitespace().any(|word| {
            let decoded = STANDARD.decode(word).ok();
            let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
            decoded.is_some_and(|text| looks_like_text(&text))
        })
}

fn looks_like_text(argument: &str) -> bool {
    argument.match_indices(PREFIX).any(|(at, _)| {
        let rest = &argument[at + PREFIX.len()..];
        let Some((environment, tail)) = rest.split_once('_') else {
            return false;
        };
        let named = !environment.is_empty()
            && environment
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let drawn = tail.bytes().take_while(u8::is_ascii_alphanumeric).count();
        named && drawn >= TELLING
    })
}

/// One line of text. Only a terminal may go on after it.
fn read_line(input: &mut dyn Read, stop_at_line_end: bool) -> io::Result<Zeroizing<String>> {
    let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    // Made at full size at once: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST));
    let mut byte = Zeroizing::new([0_u8; 1]);
    while input.read(&mut *byte)? > 0 {
        if stop_at_line_end && byte[0] == b'\n' {
            break;
        }
        if bytes.len() == LONGEST {
            return refuse("it is longer than 8 KiB");
        }
        bytes.push(byte[0]);
    }
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(_) => return refuse("it is not UTF-8 text"),
    };
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.contains('\n') {
        return refuse("it has more than one line");
    }
    Ok(Zeroizing::new(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const TEXT: &str =
        "kw_dev_0123456789abcdefghijkl0123456789abcdefghijklmnopqrstuvwxyzABCDEFG012345";

    #[test]
    fn a_secret_among_the_arguments_is_refused_and_not_repeated() {
        let basic = STANDARD.encode(format!("0123456789abcdefghijkl:{TEXT}"));
        for argument in [
            TEXT.to_owned(),
            format!("--token={TEXT}"),
            format!("Bearer {TEXT}"),
            format!("Basic {basic}"),
            basic,
            TEXT[..40].to_owned(),
        ] {
            let arguments = ["keyward", "validate", &argument].map(OsString::from);
            let failure = refuse_in_arguments(&arguments).unwrap_err();
            assert!(!failure.to_text().contains("0123456789"), "{argument}");
        }
    }

    #[test]
    fn names_ids_and_paths_are_no_secrets() {
        for argument in [
            "kw_prod_orders",
            "/run/secrets/kw_prod_token",
            "0123456789abcdefghijkl",
            "kw_",
            "kw__0123456789abcdefghijkl",
            "--name=Basic plan",
        ] {
            assert!(
                refuse_in_arguments(&[argument.into()]).is_ok(),
                "{argument}"
            );
        }
    }

    #[test]
    fn one_line_is_read_without_its_end() {
        for (input, line) in [
            ("abc", "abc"),
            ("abc\n", "abc"),
            ("a c\r\n", "a c"),
            ("", ""),
        ] {
            let read = read_line(&mut input.as_bytes(), false).unwrap();
            assert_eq!(read.as_str(), line);
        }
        assert_eq!(*read_line(&mut "a\nb\n".as_bytes(), true).unwrap(), "a");
        assert!(read_line(&mut "a\nb\n".as_bytes(), false).is_err());
        assert!(read_line(&mut &b"\xff"[..], false).is_err());
    }

    #[test]
    fn a_secret_has_at_most_8_kib() {
        assert!(read_line(&mut "a".repeat(LONGEST).as_bytes(), false).is_ok());
        assert!(read_line(&mut "a".repeat(LONGEST + 1).as_bytes(), false).is_err());
    }

    #[test]
    fn a_secret_file_is_private_new_and_gone_when_nothing_was_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        drop(SecretFile::reserve(&path).unwrap());
        assert!(!path.exists());

        SecretFile::reserve(&path).unwrap().keep("s3cret").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "s3cret\n");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(SecretFile::reserve(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "s3cret\n");
    }
}
