//! The runbook: docs/troubleshooting.md as part of the program, so that a message leads to the row that explains it.

use super::words::Piece;

const DOCUMENT: &str = include_str!("../../../docs/troubleshooting.md");
/// The least of a message that must be known for sure.
const CERTAIN: usize = 8;

/// A heading with its table.
pub struct Section {
    /// In addresses.
    pub name: String,
    pub title: &'static str,
    pub rows: Vec<Row>,
}

/// Messages, what is behind them, and what to do.
pub struct Row {
    message: &'static str,
    meaning: &'static str,
    cure: &'static str,
}

impl Row {
    pub fn message(&self) -> Vec<Piece> {
        pieces(self.message)
    }

    pub fn meaning(&self) -> Vec<Piece> {
        pieces(self.meaning)
    }

    pub fn cure(&self) -> Vec<Piece> {
        pieces(self.cure)
    }

    /// How much of a message is quoted here, in characters; 0 if it is another message.
    fn resemblance(&self, message: &str) -> usize {
        let quoted = self.message.split('*').skip(1).step_by(2);
        quoted.map(|quoted| resemblance(quoted, message)).max().unwrap_or_default()
    }
}

/// Looks for the parts of `quoted` in `message`, in their order; `…` stands for anything.
fn resemblance(quoted: &str, message: &str) -> usize {
    let (mut rest, mut found) = (message, 0);
    for part in quoted.split('…').map(str::trim).filter(|part| !part.is_empty()) {
        let Some(at) = rest.find(part) else { return 0 };
        rest = &rest[at + part.len()..];
        found += part.len();
    }
    if found < CERTAIN { 0 } else { found }
}

/// All sections, in the order of the document.
pub fn sections() -> Vec<Section> {
    let sections = DOCUMENT.split("\n## ").skip(1).map(|text| {
        let (title, body) = text.split_once('\n').unwrap_or((text, ""));
        let rows = body.lines().filter_map(|line| row(line).filter(|row| row.message != "message"));
        Section { name: title.to_lowercase().replace(' ', "-"), title, rows: rows.collect() }
    });
    sections.collect()
}

fn row(line: &'static str) -> Option<Row> {
    let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ");
    Some(Row { message: cells.next()?, meaning: cells.next()?, cure: cells.next()? })
}

/// The section that explains a message, if one does.
pub fn section_of(message: &str) -> Option<Section> {
    let resemblance = |section: &Section| section.rows.iter().map(|row| row.resemblance(message)).max();
    let nearest = sections().into_iter().max_by_key(|section| resemblance(section));
    nearest.filter(|section| resemblance(section) > Some(0))
}

/// Markdown without its marks. A link leads into another document, which is named where it is not this one.
fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            pieces.push(Piece::Code(part.to_owned()));
        } else if !part.is_empty() {
            pieces.push(without_links(&part.replace('*', "")).into());
        }
    }
    pieces
}

fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((label, (target, after))) =
            link.split_once("](").and_then(|(label, rest)| Some((label, rest.split_once(')')?)))
        else {
            break;
        };
        plain.push_str(before);
        plain.push_str(label);
        let document = target.split('#').next().unwrap_or_default();
        if let Some(name) = document.strip_suffix(".md") {
            plain.push_str(&format!(" (docs/{name}.md)").replace("docs/../", ""));
        }
        rest = after;
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_has_its_rows_and_every_row_finds_itself() {
        let sections = sections();
        assert!(sections.len() > 7, "{} sections", sections.len());
        for section in &sections {
            assert!(!section.rows.is_empty(), "{}", section.title);
            assert!(DOCUMENT.contains(&format!("](#{})", section.name)), "{} is not linked", section.name);
            for row in &section.rows {
                let quoted = row.message.split('*').nth(1).filter(|quoted| quoted.len() > 2 * CERTAIN);
                let Some(quoted) = quoted else { continue };
                let found = section_of(&quoted.replace('…', "anything")).map(|section| section.name);
                assert!(found.is_some(), "{quoted:?} is not found");
            }
        }
    }

    #[test]
    fn a_message_is_told_by_its_fixed_parts() {
        assert_eq!(resemblance("Mandiant answered …: …", "Mandiant answered 503: busy"), 18);
        assert_eq!(resemblance("Mandiant answered …: …", "Sentinel answered 503: busy"), 0);
        assert_eq!(section_of("nothing of the kind").map(|section| section.name), None);
        let found = section_of("Mandiant answered 503: busy").expect("a section");
        assert_eq!((found.title, found.name.as_str()), ("Mandiant", "mandiant"));
        assert_eq!(
            without_links("[Rotate](operations.md#rotate-keys); [x](#y)"),
            "Rotate (docs/operations.md); x"
        );
        assert_eq!(without_links("Tell [us](../CONTRIBUTING.md#a)"), "Tell us (CONTRIBUTING.md)");
    }
}
