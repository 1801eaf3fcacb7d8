//! Small bar charts: one number in each of the newest passes.

use std::fmt::Write;

use super::words::count;

/// Passes in a chart.
pub const PASSES: usize = 30;
const SLOT: usize = 8;
const BAR: usize = 6;
const HEIGHT: f64 = 40.0;
/// The least that can be seen: a bar that is there must not look like none.
const LEAST: f64 = 2.0;

/// A chart of `values`, the oldest first. What it shows stands in words beside it and, number by number, in its text
/// alternative.
pub fn bars(id: &str, label: &str, values: &[u64]) -> String {
    let most = values.iter().copied().max().unwrap_or_default();
    let total = values.iter().fold(0_u64, |sum, value| sum.saturating_add(*value));
    let mut path = String::new();
    // The newest stands at the right edge, however few there are.
    let offset = PASSES - values.len().min(PASSES);
    for (index, value) in values.iter().take(PASSES).enumerate() {
        if *value == 0 {
            continue;
        }
        #[expect(clippy::cast_precision_loss, reason = "a bar is forty pixels high")]
        let height = (*value as f64 / most as f64 * HEIGHT).max(LEAST);
        let x = (offset + index) * SLOT + (SLOT - BAR) / 2;
        write!(path, "M{x} {HEIGHT}v-{height:.1}h{BAR}v{height:.1}z")
            .expect("writing into a String cannot fail");
    }
    let numbers: Vec<String> = values.iter().map(u64::to_string).collect();
    let alternative =
        format!("{label} in each of the last {} passes, oldest first: {}", values.len(), numbers.join(", "));
    format!(
        "<li><p class=\"label\">{label}</p><p class=\"total\">{}</p><svg role=\"img\" aria-labelledby=\"{id}\" viewBox=\"0 0 {} 41\" preserveAspectRatio=\"none\"><title id=\"{id}\">{alternative}</title><path class=\"base\" d=\"M0 40.5h{}\"></path><path class=\"bars\" d=\"{path}\"></path></svg><p class=\"note\">last pass {}, most {}</p></li>",
        count(total),
        PASSES * SLOT,
        PASSES * SLOT,
        count(values.last().copied().unwrap_or_default()),
        count(most),
    )
}
