//! What a validation costs with more and more credentials, side by side in one run, and what each takes of memory.

use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use keyward::load::Form;

use super::unary;
use crate::report::{Report, Spread};
use crate::rounds::{Contestant, Outcome, Until, interleave};
use crate::servers::{Kind, Script, Server};
use crate::settings::Settings;
use crate::{cpu, fill};

/// Memory that is left to the load and the machine.
const KEPT: u64 = 3 << 30;

pub(crate) fn run(settings: &Settings, dir: &Path, report: &mut Report) {
    report.say("## Growth\n");
    let mut servers: Vec<(usize, Server, Script)> = Vec::new();
    let mut each = 0.0;
    for &credentials in &settings.growth {
        let expected = (each * credentials as f64) as u64;
        if expected + KEPT > cpu::memory_left() {
            report.say(&format!(
                "* {credentials} credentials: not run: some {} MiB are wanted, and {} are left\n",
                expected >> 20,
                cpu::memory_left() >> 20
            ));
            continue;
        }
        let own = dir.join(credentials.to_string());
        std::fs::create_dir_all(&own).expect("a directory can be made");
        let began = Instant::now();
        let server = Server::start(Kind::Keyward, credentials, &own);
        let memory = cpu::memory_of(server.pid());
        each = memory as f64 / credentials as f64;
        report.say(&format!(
            "* {credentials} credentials: filled in {:.0} s, {} MiB in all, the store's rows in memory included: {each:.0} bytes each",
            began.elapsed().as_secs_f64(),
            memory >> 20
        ));
        let filled = Rc::new(fill::read(&own));
        servers.push((credentials, server, Script::hits(&filled)));
    }
    report.say("\nThe column `× no-op` compares with the fewest credentials here. Of more than two million, two million are presented, spread over all.\n");
    for (form, shape, title) in [
        (Form::Unary, unary::MAIN, "### A call each, 8 × 16\n"),
        (
            Form::Stream,
            (1, 1_024),
            "### One stream, 1,024 in flight\n",
        ),
    ] {
        let contestants = servers.iter().map(|(credentials, server, script)| {
            let name = format!("{credentials} credentials");
            Contestant::new(name, server, script.in_form(form), shape)
        });
        let contestants: Vec<_> = contestants.collect();
        let rounds = interleave(&contestants, settings, Until::Cpu(settings.cpu));
        let fewest = rounds
            .first()
            .map(|rounds| Spread::of(&rounds.outcomes, Outcome::cpu_each).median);
        report.say(title);
        let rows: Vec<_> = contestants
            .iter()
            .map(|one| one.name.as_str())
            .zip(&rounds)
            .collect();
        report.costs(&rows, fewest);
    }
}
