//! A page taken apart, and what every page must keep to.
//!
//! Our pages are written so that XML's rules hold too: each element is closed, each value quoted. That makes a reader
//! of a few lines exact: whatever would be markup to a browser is markup here, or the page is rejected.

use std::collections::{BTreeMap, BTreeSet};

/// Everything a page may consist of. None of it loads or runs anything, and a form has no address but the page's own.
const ELEMENTS: &[&str] = &[
    "html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section", "h1", "h2",
    "h3", "p", "strong", "span", "code", "time", "br", "ul", "li", "dl", "div", "dt", "dd", "table", "a",
    "caption", "thead", "tbody", "tr", "th", "td", "svg", "path", "form", "label", "input", "button",
    "details", "summary",
];
const ATTRIBUTES: &[&str] = &[
    "lang",
    "charset",
    "name",
    "content",
    "nonce",
    "id",
    "class",
    "role",
    "aria-label",
    "aria-labelledby",
    "datetime",
    "scope",
    "colspan",
    "viewBox",
    "preserveAspectRatio",
    "d",
    "href",
    "data-label",
    "method",
    "for",
    "type",
    "value",
    "required",
    "autocomplete",
    "spellcheck",
];

enum Node {
    Element(Element),
    Text(String),
}

/// An element with everything in it.
pub struct Element {
    pub name: String,
    attributes: BTreeMap<String, String>,
    children: Vec<Node>,
}

impl Element {
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// All text in it, as a reader gets it: line breaks of the markup are spaces.
    pub fn text(&self) -> String {
        self.raw_text().split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn raw_text(&self) -> String {
        let of = |node: &Node| match node {
            Node::Text(text) => text.clone(),
            Node::Element(element) if element.name == "style" => String::new(),
            Node::Element(element) => element.raw_text(),
        };
        self.children.iter().map(of).collect()
    }

    fn elements(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    fn walk<'a>(&'a self, visit: &mut Vec<&'a Self>) {
        visit.push(self);
        self.elements().for_each(|element| element.walk(visit));
    }
}

/// A whole page.
pub struct Document {
    root: Element,
}

impl Document {
    pub fn parse(html: &str) -> Self {
        let mut rest = html.strip_prefix("<!doctype html>\n").expect("a doctype").trim_end();
        let mut open =
            vec![Element { name: String::new(), attributes: BTreeMap::new(), children: Vec::new() }];
        while !rest.is_empty() {
            let Some(markup) = rest.strip_prefix('<') else {
                let end = rest.find('<').unwrap_or(rest.len());
                let text = unescape(&rest[..end]);
                open.last_mut().unwrap().children.push(Node::Text(text));
                rest = &rest[end..];
                continue;
            };
            let (tag, after) = markup.split_once('>').expect("a tag ends");
            assert!(!tag.contains('<'), "<{tag}>");
            rest = after;
            if let Some(name) = tag.strip_prefix('/') {
                let closed = open.pop().unwrap();
                assert_eq!(closed.name, name, "closed out of turn");
                open.last_mut().expect("nothing is closed twice").children.push(Node::Element(closed));
                continue;
            }
            let element = element(tag.trim_end_matches('/'));
            if tag.ends_with('/') {
                assert!(
                    ["meta", "br", "input"].contains(&element.name.as_str()),
                    "<{tag}> is not closed in HTML"
                );
                open.last_mut().unwrap().children.push(Node::Element(element));
            } else {
                open.push(element);
            }
        }
        assert_eq!(open.len(), 1, "something is not closed");
        let root = open.remove(0).children.into_iter().find_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        });
        Self { root: root.expect("an element") }
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &Element> {
        let mut elements = Vec::new();
        self.root.walk(&mut elements);
        elements.into_iter().filter(move |element| element.name == name)
    }

    pub fn text(&self) -> String {
        self.all("body").next().expect("a body").text()
    }

    pub fn title(&self) -> String {
        self.all("title").next().expect("a title").text()
    }

    /// The sentence on top.
    pub fn headline(&self) -> String {
        self.all("h1").next().expect("a headline").text()
    }

    /// Where the link with this text leads.
    pub fn link(&self, text: &str) -> Option<String> {
        self.all("a").find(|link| link.text() == text).map(|link| link.attribute("href").to_owned())
    }

    /// The text of the section under the heading with this id.
    pub fn section(&self, id: &str) -> String {
        let section = self.all("section").find(|section| section.attribute("aria-labelledby") == id);
        section.unwrap_or_else(|| panic!("no section {id} in {}", self.text())).text()
    }

    /// What every page must keep to.
    pub fn check(&self) {
        let mut elements = Vec::new();
        self.root.walk(&mut elements);
        for element in &elements {
            assert!(ELEMENTS.contains(&element.name.as_str()), "<{}>", element.name);
            for name in element.attributes.keys() {
                assert!(ATTRIBUTES.contains(&name.as_str()), "<{} {name}>", element.name);
            }
        }
        assert_eq!(self.root.attribute("lang"), "en");
        assert!(!self.title().is_empty());
        for name in ["title", "style", "body", "h1", "main"] {
            let is_of_page = |element: &&Element| name != "title" || element.attribute("id").is_empty();
            assert_eq!(self.all(name).filter(is_of_page).count(), 1, "{name}");
        }
        self.check_references(&elements);
        check_headings(&elements);
        self.check_charts();
        self.check_tables();
        for link in elements.iter().filter(|element| element.name == "a") {
            let href = link.attribute("href");
            assert!(href.starts_with('?'), "{:?} leads away from the page", link.text());
            assert!(!link.text().is_empty(), "a link without words");
        }
        let mut names = BTreeSet::new();
        for landmark in elements.iter().filter(|it| it.name == "section" || it.attribute("role") == "region")
        {
            let name = self.name(landmark);
            assert!(!name.is_empty() && names.insert(name.clone()), "not the only landmark named {name:?}");
        }
    }

    /// By what name a screen reader calls it.
    fn name(&self, landmark: &Element) -> String {
        let heading = landmark.attribute("aria-labelledby");
        let mut elements = Vec::new();
        self.root.walk(&mut elements);
        let heading =
            elements.iter().find(|element| !heading.is_empty() && element.attribute("id") == heading);
        heading.map_or_else(|| landmark.attribute("aria-label").to_owned(), |heading| heading.text())
    }

    fn check_references(&self, elements: &[&Element]) {
        let mut ids = BTreeSet::new();
        for id in elements.iter().map(|element| element.attribute("id")).filter(|id| !id.is_empty()) {
            assert!(ids.insert(id), "the id {id} stands twice");
        }
        let labels = elements.iter().map(|element| element.attribute("aria-labelledby"));
        for label in labels.filter(|label| !label.is_empty()) {
            assert!(ids.contains(label), "{label} labels something and is not there");
        }
    }

    fn check_charts(&self) {
        for chart in self.all("svg") {
            assert_eq!(chart.attribute("role"), "img");
            let title = chart.elements().next().expect("a title first");
            assert_eq!(
                (title.name.as_str(), title.attribute("id")),
                ("title", chart.attribute("aria-labelledby"))
            );
            assert!(title.text().len() > 10, "a chart without words");
        }
    }

    fn check_tables(&self) {
        for table in self.all("table") {
            let caption = table.elements().next().expect("a caption first");
            assert!(caption.name == "caption" && !caption.text().is_empty());
            let mut cells = Vec::new();
            table.walk(&mut cells);
            let heads: Vec<&&Element> = cells.iter().filter(|cell| cell.name == "th").collect();
            assert!(!heads.is_empty());
            for head in heads {
                assert!(["col", "row"].contains(&head.attribute("scope")), "{}", head.text());
                assert!(!head.text().trim().is_empty(), "an empty head");
            }
            let columns: BTreeSet<usize> =
                cells.iter().filter(|cell| cell.name == "tr").map(|row| width(row)).collect();
            assert_eq!(columns.len(), 1, "rows of different widths: {columns:?}");
        }
    }
}

fn width(row: &Element) -> usize {
    row.elements().map(|cell| cell.attribute("colspan").parse().unwrap_or(1)).sum()
}

/// No level is left out on the way down.
fn check_headings(elements: &[&Element]) {
    let levels = elements.iter().filter_map(|element| {
        let level: u32 = element.name.strip_prefix('h')?.parse().ok()?;
        assert!(!element.text().trim().is_empty(), "an empty heading");
        Some(level)
    });
    let mut before = 0;
    for level in levels {
        assert!(level <= before + 1, "h{level} after h{before}");
        before = level;
    }
}

fn element(tag: &str) -> Element {
    let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
    let mut attributes = BTreeMap::new();
    while !rest.trim().is_empty() {
        let (name, value) = rest.trim_start().split_once("=\"").unwrap_or_else(|| panic!("<{tag}>"));
        let (value, after) = value.split_once('"').unwrap_or_else(|| panic!("<{tag}>"));
        assert!(attributes.insert(name.to_owned(), unescape(value)).is_none(), "{name} twice in <{tag}>");
        rest = after;
    }
    Element { name: name.to_owned(), attributes, children: Vec::new() }
}

fn unescape(text: &str) -> String {
    const ESCAPES: [(&str, &str); 4] = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'")];
    let mut plain = text.to_owned();
    for (escaped, character) in ESCAPES {
        plain = plain.replace(escaped, character);
    }
    plain.replace("&amp;", "&")
}

/// The contrast of two colours of the form `#rrggbb` (WCAG 2.2, "contrast ratio").
pub fn contrast(left: &str, right: &str) -> f64 {
    let (left, right) = (luminance(left), luminance(right));
    (left.max(right) + 0.05) / (left.min(right) + 0.05)
}

fn luminance(colour: &str) -> f64 {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}
