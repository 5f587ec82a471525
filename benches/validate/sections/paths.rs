//! What a hit, a miss and a wrong secret cost beside each other, and what counting the use of many tokens does.

use std::rc::Rc;

use keyward::load::Form;

use super::{Field, unary};
use crate::fill;
use crate::judges::Unknown;
use crate::report::{Report, Spread};
use crate::rounds::{Contestant, Outcome, Until, interleave};
use crate::servers::{Kind, Script};
use crate::settings::Settings;

/// Texts of each sort that are presented: enough that no cache helps.
const TEXTS: usize = 200_000;

pub(crate) fn run(field: &Field, settings: &Settings, report: &mut Report) {
    report.say("## Hits, misses and wrong secrets\n");
    report.say(
        "Each sort is a replay of its own. \"One token\" presents the same credential each time, so that nothing has to be \
         fetched and a second's use is one row to save; its distance from the hits is what random credentials cost, saving \
         their use included. The column `× no-op` compares with the hits here.\n",
    );
    let sorts = sorts(field);
    for (form, shape) in [(Form::Unary, unary::MAIN), (Form::Stream, (1, 1_024))] {
        let keyward = field.server(Kind::Keyward);
        let contestants = sorts
            .iter()
            .map(|(name, script)| Contestant::new(*name, keyward, script.in_form(form), shape));
        let contestants: Vec<_> = contestants.collect();
        let rounds = interleave(&contestants, settings, Until::Cpu(settings.cpu));
        let hits = Spread::of(&rounds[0].outcomes, Outcome::cpu_each).median;
        report.say(match form {
            Form::Stream => "### One stream, 1,024 in flight\n",
            _ => "### A call each, 8 × 16\n",
        });
        let rows: Vec<_> = contestants
            .iter()
            .map(|one| one.name.as_str())
            .zip(&rounds)
            .collect();
        report.costs(&rows, Some(hits));
    }
}

fn sorts(field: &Field) -> Vec<(&'static str, Script)> {
    let filled = &field.filled;
    let count = TEXTS.min(filled.credentials.len());
    let unknown: Vec<String> = (0..count).map(|_| fill::never_issued(None)).collect();
    let step = filled.credentials.len() / count;
    let ids = filled.credentials.iter().step_by(step).map(|(_, id)| id);
    let wrong: Vec<String> = ids.map(|id| fill::never_issued(Some(id))).collect();
    let one = fill::Filled {
        operator: filled.operator.clone(),
        account_key: filled.account_key.clone(),
        credentials: Rc::new(filled.credentials[..1].to_vec()),
    };
    vec![
        ("hits, random", field.script_of(Kind::Keyward).1.clone()),
        (
            "unknown id",
            Script::asked(filled, &unknown, Rc::new(Unknown)),
        ),
        (
            "wrong secret",
            Script::asked(filled, &wrong, Rc::new(Unknown)),
        ),
        ("hits, one token", Script::hits(&one)),
    ]
}
