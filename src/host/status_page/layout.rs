//! The frame of every page: head, style and policy.

use uuid::Uuid;

use crate::host::reply::HttpAnswer;

/// Colours stand in variables, once for light and once for dark; a test computes their contrasts.
const STYLE: &str = include_str!("style.css");

/// A whole page. `title` and `body` are HTML.
pub fn page(status: u16, title: &str, body: &str) -> HttpAnswer {
    let nonce = Uuid::new_v4().simple().to_string();
    let document = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\" /><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" /><meta name=\"color-scheme\" content=\"light dark\" /><title>mati-sync: {title}</title><style nonce=\"{nonce}\">{STYLE}</style></head><body>{body}</body></html>\n"
    );
    HttpAnswer::html(status, document, &nonce)
}

/// A table that scrolls where it is too wide: it can be reached by keyboard, and says what it is. All of it is HTML.
pub fn table(label: &str, caption: &str, head: &str, rows: &str) -> String {
    format!(
        "<div class=\"scroll\" role=\"region\" aria-label=\"Table: {label}\" tabindex=\"0\"><table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
}
