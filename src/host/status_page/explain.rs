//! What is known of one value, as a page.

use askama::Template;
use serde_json::json;

use super::{
    Frame, Mood, Page, View,
    words::{self, Piece, cut},
};
use crate::{host::reply::HttpAnswer, pass::Explanation};

/// The longest line, in characters.
const LONGEST: usize = 1000;

#[derive(Template)]
#[template(path = "explain.html")]
struct Explained<'a> {
    frame: Frame<'a>,
    value: String,
    /// What is said of what.
    lines: Vec<(String, String)>,
}

impl Page for Explained<'_> {
    fn frame(&self) -> &Frame<'_> {
        &self.frame
    }
}

impl View {
    /// Why a value is where it is.
    pub fn explanation(&self, explanation: &Explanation) -> HttpAnswer {
        if !self.html {
            return HttpAnswer::json(200, &json!(explanation));
        }
        let (mood, headline) = match (&explanation.error, explanation.lanes.values().any(|lane| lane.held)) {
            (Some(_), _) => (Mood::Open, "Not everything could be found out"),
            (None, true) => (Mood::Plain, "The value is held"),
            (None, false) => (Mood::Plain, "The value is held nowhere"),
        };
        let mut lines = explanation.lines();
        // A row without a heading of its own goes on with the one before.
        let mut heading = String::new();
        for (about, said) in &mut lines {
            if about.is_empty() {
                about.clone_from(&heading)
            } else {
                heading.clone_from(about)
            }
            *said = cut(said, LONGEST);
        }
        let value = cut(&explanation.value, LONGEST);
        Explained { frame: Frame::new(mood, headline, &self.links), value, lines }.answer(200)
    }
}
