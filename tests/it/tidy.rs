//! The architecture, read off the source: who may know whom, where what comes from outside may be used, how long a file may be.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each module and all that it may know besides itself, in the order in which they stand on each other.
const KNOWS: [(&str, &[&str]); 18] = [
    ("domain", &[]),
    ("files", &[]),
    ("clock", &["domain"]),
    ("random", &["domain"]),
    ("keyring", &["domain", "files", "random"]),
    ("store", &["domain", "files", "clock", "random", "keyring"]),
    ("directory", &["domain", "store"]),
    ("invalidations", &["domain", "store", "directory"]),
    ("marks", &["domain"]),
    ("meter", &["domain", "clock"]),
    (
        "validator",
        &[
            "domain",
            "clock",
            "keyring",
            "store",
            "directory",
            "marks",
            "meter",
        ],
    ),
    (
        "registry",
        &[
            "domain",
            "clock",
            "random",
            "keyring",
            "store",
            "directory",
            "marks",
            "meter",
        ],
    ),
    (
        "api",
        &[
            "domain",
            "clock",
            "store",
            "directory",
            "invalidations",
            "meter",
            "registry",
            "validator",
        ],
    ),
    ("config", &["domain"]),
    ("telemetry", &["config"]),
    (
        "server",
        &[
            "domain",
            "files",
            "clock",
            "random",
            "keyring",
            "store",
            "directory",
            "invalidations",
            "marks",
            "meter",
            "validator",
            "registry",
            "api",
            "config",
            "telemetry",
        ],
    ),
    ("cli", &["domain", "api", "config", "telemetry", "server"]),
    ("main", &["cli"]),
];

/// The verbs that run a node or mend its store: they stand on all that the server stands on.
const NODE_VERBS: [&str; 3] = ["src/cli/dev.rs", "src/cli/node.rs", "src/cli/serve.rs"];

/// Words that stand in these places alone, and why.
const PLACES: [(&str, &[&str], &str); 13] = [
    (
        "sled::",
        &["src/store/sled/", "src/store/open.rs", "src/store/open/"],
        "if sled goes, these go",
    ),
    (
        "papaya::",
        &["src/directory/", "src/invalidations/", "src/meter/"],
        "how what many read at once is laid out",
    ),
    (
        "governor::",
        &["src/meter/rate.rs"],
        "if it goes, this goes",
    ),
    (
        "rand::",
        &["src/random.rs", "src/api/call_id.rs", "src/cli/retry.rs"],
        "secrets and ids are drawn in one place; call ids and the jitter of retries are no secrets",
    ),
    (
        "SystemTime",
        &["src/clock.rs"],
        "everybody else is given the time",
    ),
    (
        "hmac::",
        &["src/keyring/"],
        "what is made of keys is made there",
    ),
    (
        "hkdf::",
        &["src/keyring/"],
        "what is made of keys is made there",
    ),
    (
        "chacha20poly1305::",
        &["src/keyring/"],
        "what is made of keys is made there",
    ),
    (
        "tonic::",
        &["src/api/", "src/server/", "src/cli/"],
        "the wire",
    ),
    (
        "prost::",
        &["src/api/", "src/server/", "src/cli/", "src/store/record/"],
        "the wire, and what is on disk",
    ),
    (
        "proto::",
        &["src/api/", "src/server/node.rs", "src/cli/"],
        "generated types stay where they are converted",
    ),
    (
        "stored::",
        &["src/store/record/"],
        "the form of what is on disk is known there",
    ),
    (
        "clap::",
        &["src/cli/", "src/config.rs", "src/config/"],
        "the command line",
    ),
];

/// What the rules never touch: they are given values, and give values.
const NOT_IN_DOMAIN: [&str; 16] = [
    "tokio::",
    "tonic::",
    "sled::",
    "prost::",
    "serde::",
    "rand::",
    "tracing::",
    "papaya::",
    "SystemTime",
    "Instant",
    "std::fs",
    "std::env",
    "std::thread",
    "std::sync::Mutex",
    "TcpStream",
    "UdpSocket",
];

/// A file is 100 to 200 lines long, and thought over at 400.
const LINES: usize = 400;

/// Files that are longer, and why that is right.
const LONGER: [(&str, &str); 3] = [
    (
        "src/cli/end_to_end.rs",
        "one story against a server, verb by verb",
    ),
    (
        "src/server/tests.rs",
        "each attack on the connection, with its own client",
    ),
    (
        "src/store/sled/damage.rs",
        "each way to damage a store, and what opening it says",
    ),
];

struct Source {
    /// `src/registry/page.rs`.
    name: String,
    text: String,
}

impl Source {
    /// The module at the root that it belongs to.
    fn module(&self) -> &str {
        let inside = self.name.trim_start_matches("src/");
        inside
            .split('/')
            .next()
            .unwrap_or(inside)
            .trim_end_matches(".rs")
    }

    /// How many modules deep it lies.
    fn depth(&self) -> usize {
        let inside = self
            .name
            .trim_start_matches("src/")
            .trim_end_matches(".rs")
            .trim_end_matches("/mod");
        inside.split('/').count()
    }

    fn is_test(&self) -> bool {
        let parts = ["tests", "testing", "conformance", "fake", "end_to_end"];
        let mut names = self.name.trim_end_matches(".rs").split('/');
        names.any(|name| parts.contains(&name) || name.ends_with("_tests"))
    }

    /// The code: without comments, and without the tests at its end.
    fn code(&self) -> String {
        let end = ["mod ", "pub(crate) mod "]
            .iter()
            .filter_map(|module| self.inline_tests(module))
            .min();
        let code = &self.text[..end.unwrap_or(self.text.len())];
        let lines = code
            .lines()
            .map(|line| line.split("//").next().unwrap_or(line));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn inline_tests(&self, module: &str) -> Option<usize> {
        let start = format!("\n#[cfg(test)]\n{module}");
        let mut places = self.text.match_indices(&start);
        let opens = |at: usize| {
            self.text[at + start.len()..]
                .lines()
                .next()
                .is_some_and(|line| line.ends_with('{'))
        };
        places.find(|(at, _)| opens(*at)).map(|(at, _)| at)
    }

    /// The modules at the root that it names.
    fn knows(&self) -> BTreeSet<String> {
        let code = self.code();
        let mut known = BTreeSet::new();
        for (at, _) in code.match_indices("crate::") {
            known.extend(first_names(&code[at + "crate::".len()..]));
        }
        for (at, _) in code.match_indices(&"super::".repeat(self.depth())) {
            let rest = &code[at + "super::".len() * self.depth()..];
            if !code[..at].ends_with("super::") {
                known.extend(first_names(rest));
            }
        }
        known.remove(self.module());
        known
    }
}

/// The names that a path, or a group of paths, begins with.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![name(rest)];
    };
    let (mut names, mut depth, mut fresh) = (Vec::new(), 0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && c.is_alphabetic() => {
                names.push(name(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of the sources is read") {
            let path: PathBuf = entry.expect("its entries are read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path
                    .strip_prefix(root)
                    .expect("it lies below")
                    .display()
                    .to_string();
                let text = std::fs::read_to_string(&path).expect("a source is text");
                found.push(Source { name, text });
            }
        }
    }
    assert!(found.len() > 100, "the sources were found");
    found
}

/// One message that names everything that is wrong.
fn none_of(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn arrows_point_one_way() {
    let mut wrong = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| !source.is_test() && source.name != "src/lib.rs")
    {
        let Some((_, may)) = KNOWS.iter().find(|(module, _)| *module == source.module()) else {
            wrong.push(format!(
                "{}: a module that has no place in the picture",
                source.name
            ));
            continue;
        };
        let may = if NODE_VERBS.contains(&source.name.as_str()) {
            let (module, below) = KNOWS
                .iter()
                .find(|(module, _)| *module == "server")
                .unwrap();
            [*below, &[*module]].concat()
        } else {
            may.to_vec()
        };
        let modules = source
            .knows()
            .into_iter()
            .filter(|name| KNOWS.iter().any(|(module, _)| module == name));
        let beyond = modules.filter(|name| !may.contains(&name.as_str()));
        wrong.extend(beyond.map(|name| format!("{} must not know {name}", source.name)));
    }
    none_of(&wrong);
}

#[test]
fn no_module_knows_one_that_knows_it() {
    for (place, (module, may)) in KNOWS.iter().enumerate() {
        let before: Vec<&str> = KNOWS[..place].iter().map(|(module, _)| *module).collect();
        for known in *may {
            assert!(before.contains(known), "{module} stands on {known}");
        }
    }
}

#[test]
fn what_comes_from_outside_stays_in_its_place() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let code = source.code();
        for (word, places, why) in PLACES {
            let at_home = places.iter().any(|place| source.name.starts_with(place));
            if !at_home && mentions(&code, word) {
                wrong.push(format!("{} must not name {word} ({why})", source.name));
            }
        }
    }
    none_of(&wrong);
}

#[test]
fn the_domain_is_pure() {
    let mut wrong = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| source.module() == "domain")
    {
        let code = source.code();
        let named = NOT_IN_DOMAIN.iter().filter(|word| mentions(&code, word));
        wrong.extend(named.map(|word| format!("{} must not name {word}", source.name)));
    }
    none_of(&wrong);
}

#[test]
fn a_validation_knows_no_more_of_the_store_than_its_revision() {
    let sources = sources();
    let validator = sources
        .iter()
        .find(|source| source.name == "src/validator.rs")
        .unwrap();
    let code = validator.code();
    let of_store: Vec<&str> = code
        .lines()
        .filter(|line| line.contains("crate::store"))
        .collect();
    assert_eq!(of_store, ["use crate::store::backend::Revision;"]);
    for word in [".await", "async fn", "Mutex", "RwLock"] {
        assert!(
            !code.contains(word),
            "the hot path waits for nothing: {word}"
        );
    }
}

#[test]
fn files_are_short_or_have_a_reason() {
    let mut wrong = Vec::new();
    let sources = sources();
    for source in &sources {
        let lines = source.text.lines().count();
        let excused = LONGER.iter().any(|(name, _)| *name == source.name);
        if lines > LINES && !excused {
            wrong.push(format!("{} has {lines} lines", source.name));
        }
        if lines <= LINES && excused {
            wrong.push(format!(
                "{} has {lines} lines, and needs no excuse",
                source.name
            ));
        }
    }
    none_of(&wrong);
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = |source: &&Source| {
        !source.is_test() && source.name != "src/main.rs" && !source.text.starts_with("//!")
    };
    let wrong: Vec<String> = sources()
        .iter()
        .filter(silent)
        .map(|source| source.name.clone())
        .collect();
    none_of(&wrong);
}

#[test]
fn the_reader_of_sources_sees_every_way_to_name_a_module() {
    let source = Source {
        name: "src/registry/page.rs".into(),
        text: "use crate::{domain::{id, time}, store};\n// crate::cli\nuse super::super::keyring;\nuse super::api;\nlet x = \
               crate::clock::wall();\n#[cfg(test)]\nmod tests {\n    use crate::server;\n}\n"
            .into(),
    };
    let known: Vec<String> = source.knows().into_iter().collect();
    assert_eq!(known, ["clock", "domain", "keyring", "store"]);
}

/// Does the word stand in the code by itself, not as the end of a longer one?
fn mentions(code: &str, word: &str) -> bool {
    let stands = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    code.match_indices(word).any(|(at, _)| stands(at))
}
