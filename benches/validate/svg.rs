//! The picture: bars, the shortest first, readable in light and in dark.

use std::fmt::Write as _;

/// One bar.
pub(crate) struct Bar {
    pub(crate) name: String,
    /// Microseconds.
    pub(crate) value: f64,
    /// Keyward's own.
    pub(crate) own: bool,
}

const WIDTH: f64 = 760.0;
const NAMES: f64 = 270.0;
/// For the figure behind the longest bar.
const FIGURES: f64 = 80.0;
const TOP: f64 = 52.0;
const ROW: f64 = 26.0;

pub(crate) fn draw(bars: &[Bar]) -> String {
    let mut sorted: Vec<&Bar> = bars.iter().collect();
    sorted.sort_by(|a, b| a.value.total_cmp(&b.value));
    let longest = sorted.last().map_or(1.0, |bar| bar.value);
    let height = TOP + ROW * sorted.len() as f64 + 10.0;
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" aria-label="Server CPU of one validation, in microseconds">
<style>
text {{ font: 13px system-ui, sans-serif; fill: #24292f; }}
.title {{ font-size: 15px; font-weight: 600; }}
.small {{ font-size: 11px; fill: #57606a; }}
.own {{ fill: #0969da; }}
.other {{ fill: #8c959f; }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e6edf3; }}
.small {{ fill: #9198a1; }}
.own {{ fill: #4493f8; }}
.other {{ fill: #656c76; }}
}}
</style>
<text class="title" x="8" y="20">Server CPU of one validation, µs</text>
<text class="small" x="8" y="38">8 connections of 16 calls in flight unless said; medians of interleaved rounds on one core; less is better</text>
"##
    );
    for (place, bar) in sorted.iter().enumerate() {
        let top = TOP + ROW * place as f64;
        let length = ((WIDTH - NAMES - FIGURES) * bar.value / longest).max(1.0);
        let class = if bar.own { "own" } else { "other" };
        let _ = write!(
            svg,
            r#"<text x="{}" y="{}" text-anchor="end">{}</text>
<rect class="{class}" x="{NAMES}" y="{}" width="{length:.1}" height="18" rx="2"/>
<text x="{:.1}" y="{}">{:.2}</text>
"#,
            NAMES - 8.0,
            top + 14.0,
            escaped(&bar.name),
            top,
            NAMES + length + 6.0,
            top + 14.0,
            bar.value
        );
    }
    svg + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
