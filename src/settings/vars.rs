//! Where settings come from.

use std::{collections::BTreeMap, path::Path};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

/// Named texts: the process's environment, a settings file, a test's map.
pub trait Vars: Send + Sync {
    fn get(&self, name: &str) -> Option<String>;

    /// Every name there is, and where it stands.
    fn names(&self) -> Vec<(String, Origin)>;
}

/// Where a name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In a settings file, which is for us alone.
    File,
    /// In the environment, which is shared with everybody.
    Environment,
}

/// What libraries read from the process's environment themselves: a local certification authority, and proxies.
const OF_LIBRARIES: [&str; 8] = [
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// Those of `values` that only a process of their own can have: libraries read them from the environment, and there
/// they are missing.
pub fn for_the_environment(values: &dyn Vars) -> Vec<(&'static str, String)> {
    let missing = OF_LIBRARIES.into_iter().filter(|name| Environment.get(name).is_none());
    missing.filter_map(|name| Some((name, values.get(name)?))).collect()
}

/// The process's environment, which is where the Functions host puts app settings. Secrets given there stay readable
/// in it as long as the process lives; those in Key Vault do not.
pub struct Environment;

impl Vars for Environment {
    #[expect(clippy::disallowed_methods, reason = "the one home of the environment")]
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn names(&self) -> Vec<(String, Origin)> {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        names.map(|name| (name, Origin::Environment)).collect()
    }
}

impl Vars for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }

    fn names(&self) -> Vec<(String, Origin)> {
        self.keys().map(|name| (name.clone(), Origin::Environment)).collect()
    }
}

/// A settings file. Its values are cleared when they are dropped: any of them may be a secret.
impl Vars for BTreeMap<String, SecretString> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).map(|value| value.expose_secret().to_owned())
    }

    fn names(&self) -> Vec<(String, Origin)> {
        self.keys().map(|name| (name.clone(), Origin::File)).collect()
    }
}

/// The first where it has a value, else the second. Empty means absent.
pub struct Layered(pub Box<dyn Vars>, pub Box<dyn Vars>);

impl Vars for Layered {
    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.trim().is_empty()).or_else(|| self.1.get(name))
    }

    fn names(&self) -> Vec<(String, Origin)> {
        self.0.names().into_iter().chain(self.1.names()).collect()
    }
}

/// The `Values` of a file in the form of `local.settings.json`, as the host's tools read it: with a byte order mark,
/// comments and commas too many.
///
/// # Errors
/// A file that cannot be read or has another form. Nothing of its content is quoted.
pub fn from_file(path: &Path) -> Result<BTreeMap<String, SecretString>, String> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default, rename = "IsEncrypted", alias = "isEncrypted")]
        is_encrypted: bool,
        #[serde(default, rename = "Values", alias = "values")]
        values: Option<BTreeMap<String, Scalar>>,
    }
    let shown = path.display();
    let text = SecretString::from(plain_json(content(path)?.expose_secret()));
    let file: File = serde_json::from_str(text.expose_secret()).map_err(|error| {
        // Its own words may quote a secret.
        let problem = if error.is_data() { "something of another type" } else { "no JSON" };
        format!(
            "the settings file {shown} is not of the form {{\"Values\": {{\"NAME\": \"text\"}}}}: {problem} in line {}, column {}",
            error.line(),
            error.column()
        )
    })?;
    if file.is_encrypted {
        return Err(format!(
            "the settings file {shown} is encrypted (IsEncrypted is true), and only the tools that did so can read it: run `func settings decrypt` beside it, or write the values in plain with \"IsEncrypted\": false"
        ));
    }
    let values = file.values.ok_or_else(|| {
        format!(
            "the settings file {shown} has no \"Values\"; its form is {{\"Values\": {{\"NAME\": \"text\"}}}}"
        )
    })?;
    Ok(values.into_iter().map(|(name, Scalar(value))| (name, value)).collect())
}

fn content(path: &Path) -> Result<SecretString, String> {
    let bytes = std::fs::read(path)
        .map_err(|error| format!("the settings file {} cannot be read: {error}", path.display()))?;
    Ok(text(&bytes)?.into())
}

/// The same for a file in that form, or of `NAME=value` lines as `docker --env-file` and shells read them.
///
/// # Errors
/// As [`from_file`].
pub fn of_either_form(path: &Path) -> Result<BTreeMap<String, SecretString>, String> {
    let content = content(path)?;
    let lines = content.expose_secret().lines().map(str::trim);
    let mut lines =
        lines.enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).peekable();
    if lines.peek().is_none_or(|(_, line)| line.starts_with(['{', '/'])) {
        return from_file(path);
    }
    lines
        .map(|(number, line)| {
            let pair = line.strip_prefix("export ").unwrap_or(line).split_once('=');
            let (name, value) = pair.ok_or_else(|| {
                format!(
                    "line {} of the settings file {} is not of the form NAME=value",
                    number + 1,
                    path.display()
                )
            })?;
            let value = value.trim();
            let quoted =
                ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
            Ok((name.trim().to_owned(), quoted.unwrap_or(value).into()))
        })
        .collect()
}

/// A value that the host's tools would give as a text: a text, a number, true or false; null is none.
struct Scalar(SecretString);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Text(SecretString),
            Number(serde_json::Number),
            Flag(bool),
            Null(()),
        }
        Ok(Self(match Any::deserialize(deserializer)? {
            Any::Text(text) => text,
            Any::Number(number) => number.to_string().into(),
            Any::Flag(flag) => flag.to_string().into(),
            Any::Null(()) => SecretString::default(),
        }))
    }
}

/// The text of a file by its byte order mark: UTF-16 is what PowerShell's `>` writes.
fn text(bytes: &[u8]) -> Result<String, String> {
    let wide = |unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes[2..].chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16(&units).map_err(|_| "the settings file is neither UTF-8 nor UTF-16".to_owned())
    };
    match bytes {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes),
        _ => {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            let text = str::from_utf8(bytes).map_err(|_| "the settings file is neither UTF-8 nor UTF-16")?;
            Ok(text.to_owned())
        }
    }
}

/// JSON without comments and without commas that nothing follows. What is taken out leaves blanks, so that lines and
/// columns stay where they were.
fn plain_json(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    // Where a comma stands that nothing has followed yet.
    let mut comma = None;
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match (character, rest.peek()) {
            ('"', _) => {
                comma = None;
                plain.push('"');
                let mut is_escaped = false;
                for inner in rest.by_ref() {
                    plain.push(inner);
                    match inner {
                        '"' if !is_escaped => break,
                        '\\' => is_escaped = !is_escaped,
                        _ => is_escaped = false,
                    }
                }
            }
            ('/', Some('/')) => {
                plain.push(' ');
                while rest.peek().is_some_and(|next| !matches!(next, '\n' | '\r')) {
                    rest.next();
                    plain.push(' ');
                }
            }
            ('/', Some('*')) => {
                plain.push(' ');
                let mut before = ' ';
                rest.next();
                plain.push(' ');
                for inner in rest.by_ref() {
                    plain.push(if inner == '\n' { '\n' } else { ' ' });
                    if before == '*' && inner == '/' {
                        break;
                    }
                    before = inner;
                }
            }
            (',', _) => {
                comma = Some(plain.len());
                plain.push(',');
            }
            ('}' | ']', _) => {
                if let Some(at) = comma.take() {
                    plain.replace_range(at..=at, " ");
                }
                plain.push(character);
            }
            _ => {
                if !character.is_whitespace() {
                    comma = None;
                }
                plain.push(character);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let values = from_file(file.path())?;
        Ok(values.into_iter().map(|(name, value)| (name, value.expose_secret().to_owned())).collect())
    }

    #[test]
    fn whatever_the_host_s_tools_read_is_read() {
        let expected = vec![
            ("A".to_owned(), "x // \"no\" /* comment */ ,}".to_owned()),
            ("B".to_owned(), "5".to_owned()),
        ];
        let plain = r#"{"IsEncrypted": false, "Values": {"A": "x // \"no\" /* comment */ ,}", "B": "5"}}"#;
        let commented = r#"// for this machine
            { /* not
            in git */ "IsEncrypted": false,
              "Values": { // "C": "7",
                "A": "x // \"no\" /* comment */ ,}",
                "B": 5, // a number
              }, /**/
              "Host": { "CORS": ["*",], },
            }"#;
        let utf_16 = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            ["\u{feff}", text].concat().encode_utf16().flat_map(bytes).collect()
        };
        for bytes in [
            plain.as_bytes().to_vec(),
            ["\u{feff}", plain].concat().into_bytes(),
            ["\u{feff}", commented].concat().replace('\n', "\r\n").into_bytes(),
            utf_16(commented, u16::to_le_bytes),
            utf_16(plain, u16::to_be_bytes),
        ] {
            assert_eq!(read(&bytes).as_ref(), Ok(&expected), "{}", String::from_utf8_lossy(&bytes));
        }
        let odd = br#"{"Values": {"A": true, "B": null, "C": "x"}}"#;
        let values =
            [("A", "true"), ("B", ""), ("C", "x")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read(odd).unwrap(), values);
    }

    #[test]
    fn what_cannot_be_read_says_why_and_quotes_nothing() {
        for (text, told) in [
            (r#"{"IsEncrypted": true, "Values": {"A": "hush"}}"#, "func settings decrypt"),
            (r#"{"IsEncrypted": true}"#, "encrypted"),
            (r#"{"Other": {"A": "hush"}}"#, "no \"Values\""),
            ("{\n \"Values\": \"hush\"}", "line 2"),
            ("{\n\n \"Values\": {\"A\": [\"hush\"]}}", "line 3"),
            ("{\"Values\": {\"A\": hush}}", "no JSON"),
            ("{\"Values\": /* hush", "no JSON"),
            ("", "no JSON"),
        ] {
            let problem = read(text.as_bytes()).unwrap_err();
            assert!(problem.contains(told) && !problem.contains("hush"), "{text}: {problem}");
        }
        assert!(read(b"{\"Values\": \xff}").unwrap_err().contains("UTF-8"));
    }

    proptest! {
        #[test]
        fn what_is_json_stays_as_it_is(
            values in prop::collection::btree_map("\\PC{0,6}|[/*,\"\\\\{}]{0,6}", "\\PC{0,9}|[/*,\"\\\\{}]{0,9}", 0..6),
            pretty in any::<bool>(),
        ) {
            let file = serde_json::json!({"Values": values});
            let text = if pretty { serde_json::to_string_pretty(&file) } else { serde_json::to_string(&file) };
            let text = text.unwrap();
            prop_assert_eq!(plain_json(&text), text);
        }

        #[test]
        fn nothing_breaks_it(text in "[/*,\"\\\\{}\\[\\]\n a]{0,40}|\\PC{0,20}", bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = plain_json(&text);
            let _ = super::text(&bytes);
        }
    }
}
