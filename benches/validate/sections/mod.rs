//! The parts of the comparison, a file each, and the servers that most of them compare.

pub(crate) mod allocations;
pub(crate) mod growth;
pub(crate) mod latency;
pub(crate) mod many;
pub(crate) mod paths;
pub(crate) mod unary;

use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use keyward::load::Form;

use crate::cpu;
use crate::fill::{self, Filled};
use crate::report::Report;
use crate::rounds::Contestant;
use crate::servers::{self, Kind, Script, Server};
use crate::settings::{Section, Settings};

/// The servers side by side, and what each is asked.
pub(crate) struct Field {
    pub(crate) filled: Rc<Filled>,
    /// With the unary call of each.
    pub(crate) servers: Vec<(Server, Script)>,
}

impl Field {
    /// Starts them all; anchors that are not there are told.
    pub(crate) fn start(settings: &Settings, dir: &Path, report: &mut Report) -> Self {
        let began = Instant::now();
        let keyward = Server::start(Kind::Keyward, settings.credentials, dir);
        let filled = Rc::new(fill::read(dir));
        report.say(&format!(
            "* Keyward was filled with {} credentials in {:.0} s, and has {} MiB\n",
            settings.credentials,
            began.elapsed().as_secs_f64(),
            cpu::memory_of(keyward.pid()) >> 20
        ));
        let mut servers = vec![keyward];
        for kind in [Kind::NoopMulti, Kind::NoopCurrent, Kind::Echo] {
            servers.push(Server::start(kind, 0, dir));
        }
        let mut keys = Vec::new();
        let anchors = settings.sections.contains(&Section::Unary);
        for kind in [Kind::Redis, Kind::Envoy, Kind::Nginx]
            .into_iter()
            .filter(|_| anchors)
        {
            match servers::anchor(kind, &filled, dir) {
                Ok(anchor) => {
                    report.say(&format!(
                        "* {kind}: {}, {} keys",
                        anchor.version, anchor.keys
                    ));
                    keys.push((kind, anchor.keys));
                    servers.push(Server::of(kind, anchor));
                }
                Err(why) => report.say(&format!("* {kind}: not run: {why}")),
            }
        }
        report.say("");
        let keys_of = |of: Kind| {
            keys.iter()
                .find(|(kind, _)| *kind == of)
                .map_or(0, |(_, keys)| *keys)
        };
        let servers = servers.into_iter().map(|server| {
            let script = Script::unary(server.kind, &filled, keys_of(server.kind));
            (server, script)
        });
        Self {
            servers: servers.collect(),
            filled: Rc::clone(&filled),
        }
    }

    pub(crate) fn server(&self, kind: Kind) -> &Server {
        &self.script_of(kind).0
    }

    pub(crate) fn script_of(&self, kind: Kind) -> &(Server, Script) {
        let found = self.servers.iter().find(|(server, _)| server.kind == kind);
        found.expect("ours are always there")
    }

    /// A server with the questions of its unary call, asked in this form.
    pub(crate) fn contestant(
        &self,
        kind: Kind,
        form: Form,
        shape: (usize, usize),
    ) -> Contestant<'_> {
        let (server, script) = self.script_of(kind);
        Contestant::new(kind.name(), server, script.in_form(form), shape)
    }
}
