//! One call for each validation, in several shapes, beside all that there is to compare with.

use super::Field;
use crate::report::{Report, Spread};
use crate::rounds::{Contestant, Outcome, Until, interleave};
use crate::servers::Kind;
use crate::settings::Settings;
use crate::svg::Bar;

/// Connections, and calls in flight on each.
const SHAPES: [(usize, usize); 5] = [(8, 16), (1, 1), (8, 1), (32, 32), (1, 100)];
/// The one that the goals and the picture speak of.
pub(crate) const MAIN: (usize, usize) = SHAPES[0];

pub(crate) fn run(field: &Field, settings: &Settings, report: &mut Report) {
    report.say("## One call for each validation\n");
    report.say(
        "Server CPU of one answered call. The no-op services decode a question of the same size and answer a message of the \
         same size; Redis, Envoy and nginx look the same texts up. The last columns are the load's own.\n",
    );
    let mut verdict = Vec::new();
    for shape in SHAPES {
        let (connections, in_flight) = shape;
        let contestants = field.servers.iter().map(|(server, script)| {
            Contestant::new(server.kind.name(), server, script.clone(), shape)
        });
        let contestants: Vec<_> = contestants.collect();
        let rounds = interleave(&contestants, settings, Until::Cpu(settings.cpu));
        let cpu = |kind: Kind| {
            let at = contestants.iter().position(|one| one.server.kind == kind);
            at.map(|at| Spread::of(&rounds[at].outcomes, Outcome::cpu_each).median)
        };
        let base = cpu(Kind::NoopCurrent);
        report.say(&format!("### {connections} × {in_flight}\n"));
        let rows: Vec<_> = contestants
            .iter()
            .map(|one| one.name.as_str())
            .zip(&rounds)
            .collect();
        report.costs(&rows, base);
        if shape == MAIN {
            report.noop = base;
            for (kind, name) in contestants.iter().map(|one| (one.server.kind, &one.name)) {
                let own = kind == Kind::Keyward;
                report.bars.push(Bar {
                    name: if own {
                        "Keyward, a call each".into()
                    } else {
                        name.clone()
                    },
                    value: cpu(kind).unwrap_or_default(),
                    own,
                });
            }
        }
        let part = |of| Some(format!("{:.2}", cpu(Kind::Keyward)? / cpu(of)?));
        let part = |of| part(of).unwrap_or_default();
        verdict.push(vec![
            format!("{connections} × {in_flight}"),
            part(Kind::NoopCurrent),
            part(Kind::NoopMulti),
        ]);
    }
    report.say("### Keyward's CPU as a part of the no-op services'\n");
    report.table(&["", "of current_thread", "of multi_thread"], &verdict);
}
