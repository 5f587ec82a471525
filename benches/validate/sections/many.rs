//! Many validations over one call: a stream, and batches.

use keyward::load::Form;

use super::{Field, unary};
use crate::report::{Report, Spread};
use crate::rounds::{Contestant, Outcome, Until, interleave};
use crate::servers::Kind;
use crate::settings::Settings;
use crate::svg::Bar;

/// How it is asked, connections, and questions (of batches: calls) in flight on each.
const SHAPES: [(&str, Form, (usize, usize)); 3] = [
    ("one stream, 128 in flight", Form::Stream, (1, 128)),
    ("one stream, 1,024 in flight", Form::Stream, (1, 1_024)),
    ("batches of 100", Form::Batch(100), (1, 2)),
];

pub(crate) fn run(field: &Field, settings: &Settings, report: &mut Report) {
    let mut contestants = vec![Contestant {
        name: "no-op tonic, a call each".into(),
        ..field.contestant(Kind::NoopCurrent, Form::Unary, unary::MAIN)
    }];
    for (name, form, shape) in SHAPES {
        for kind in [Kind::Keyward, Kind::NoopCurrent] {
            let short = if kind == Kind::Keyward {
                "Keyward"
            } else {
                "no-op tonic"
            };
            contestants.push(Contestant {
                name: format!("{short}, {name}"),
                ..field.contestant(kind, form, shape)
            });
        }
    }
    let rounds = interleave(&contestants, settings, Until::Cpu(settings.cpu));
    let cpu = |at: usize| Spread::of(&rounds[at].outcomes, Outcome::cpu_each).median;
    report.say("## Many over one call\n");
    report.say(
        "CPU of one validation, also as a part of a call to the no-op service on one current_thread runtime at 8 × 16, \
         measured beside them.\n",
    );
    let rows: Vec<_> = contestants
        .iter()
        .map(|one| one.name.as_str())
        .zip(&rounds)
        .collect();
    report.costs(&rows, Some(cpu(0)));
    for (at, one) in contestants.iter().enumerate().skip(1) {
        report.bars.push(Bar {
            name: one.name.clone(),
            value: cpu(at),
            own: one.server.kind == Kind::Keyward,
        });
    }
}
