//! The documents against the program: what is made of its tables, what is quoted from its sources, which settings,
//! fields and commands they name, and how long the README is. Links are held by `tidy`, the commands of `az` and the
//! queries by `infra/checks`.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use clap::{CommandFactory, error::ErrorKind};
use mati_sync::{
    cli::Arguments,
    domain::outcome::Counts,
    settings::table::{ALIASES, PLATFORM, SECTIONS, Setting, settings},
};
use serde_json::json;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn text(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every document of the repository.
fn documents() -> Vec<String> {
    crate::tidy::files().into_iter().filter(|name| name.ends_with(".md")).collect()
}

/// What the help says behind its options is laid out in columns, so that nothing of it may be wrapped.
#[test]
fn the_help_explains_every_argument_and_fits_a_terminal() {
    let mut program = Arguments::command();
    program.build();
    for help in [program.get_after_help(), program.get_after_long_help()] {
        for line in help.expect("examples").to_string().lines() {
            assert!(line.chars().count() <= 80, "it is wrapped: {line}");
        }
    }
    let mut commands = vec![program];
    while let Some(command) = commands.pop() {
        let name = command.get_name().to_owned();
        for argument in command
            .get_arguments()
            .filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
        {
            assert!(argument.get_help().is_some(), "{name}: {} is not explained", argument.get_id());
        }
        commands.extend(command.get_subcommands().filter(|command| command.get_name() != "help").cloned());
    }
}

/// A reader who decides whether to try it reads one file, and no more of it than this.
#[test]
fn the_readme_is_short() {
    let lines = text("README.md").lines().count();
    assert!(lines <= 150, "README.md has {lines} lines: move what only some readers need to docs/");
}

/// The tables of docs/settings.md.
fn settings_tables() -> String {
    let mut tables = String::new();
    for section in SECTIONS {
        let head = "| Setting | Default | Meaning |\n|---|---|---|";
        writeln!(tables, "\n## {}\n\n{head}", section.title).unwrap();
        section.settings.iter().for_each(|setting| row(&mut tables, setting));
    }
    tables
}

fn row(tables: &mut String, setting: &Setting) {
    let default = match setting.default {
        word @ ("–" | "by cloud" | "host.json") => word.to_owned(),
        value => format!("`{value}`"),
    };
    let secret = if setting.is_secret { "**Secret.** " } else { "" };
    writeln!(tables, "| `{}` | {default} | {secret}{} |", setting.name, setting.meaning).unwrap();
}

#[test]
fn the_settings_are_documented_as_the_table_has_them() {
    const DOCUMENT: &str = "docs/settings.md";
    const BEGIN: &str = "<!-- settings: begin -->\n";
    const END: &str = "\n<!-- settings: end -->";
    let document = text(DOCUMENT);
    let (before, rest) = document.split_once(BEGIN).expect("where the tables begin");
    let (found, after) = rest.split_once(END).expect("where they end");
    let made = settings_tables();
    if std::env::var_os("MATI_SYNC_WRITE_DOCUMENTS").is_some() {
        fs::write(Path::new(ROOT).join(DOCUMENT), format!("{before}{BEGIN}{made}{END}{after}")).unwrap();
        return;
    }
    assert!(
        found == made,
        "{DOCUMENT} is not what src/settings/table/ makes of it; write it anew with\n\
         MATI_SYNC_WRITE_DOCUMENTS=1 cargo test --test it documents::the_settings"
    );
}

#[test]
fn settings_that_documents_name_exist() {
    /// What the host, libraries and the tests read, and what only the vendor's products do.
    const OTHERS: &[&str] = &[
        "AWS_LC_SYS_NO_JITTER_ENTROPY",
        "FUNCTIONS_CUSTOMHANDLER_PORT",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "MATI_SYNC_HOST",
        "MATI_SYNC_WHOLE_SMALL_WORLD",
        "NO_COLOR",
        "NO_PROXY",
    ];
    let known: BTreeSet<&str> = (settings().map(|setting| setting.name))
        .chain(ALIASES.iter().map(|(older, _)| *older))
        .chain(PLATFORM.iter().copied())
        .chain(OTHERS.iter().copied())
        .collect();
    let is_name = |word: &str| {
        word.contains('_')
            && word.starts_with(|first: char| first.is_ascii_uppercase())
            && word
                .chars()
                .all(|letter| letter.is_ascii_uppercase() || letter == '_' || letter.is_ascii_digit())
    };
    for document in documents() {
        for code in code(&text(&document)) {
            let word = code.split(['=', ' ']).next().unwrap_or_default();
            let is_ours = word.starts_with("MATI_SYNC_WRITE");
            assert!(!is_name(word) || is_ours || known.contains(word), "{document}: there is no {word}");
        }
    }
}

#[test]
fn the_list_of_documents_has_every_document() {
    let list = text("docs/README.md");
    for document in documents() {
        let link = match document.strip_prefix("docs/") {
            // The list itself.
            Some("README.md") => continue,
            Some(name) => format!("]({name})"),
            // Their readers come from elsewhere: the beginning, the news.
            None if ["README.md", "CHANGELOG.md"].contains(&document.as_str()) => continue,
            None => format!("](../{document})"),
        };
        assert!(list.contains(&link), "docs/README.md does not list {document}");
    }
}

/// A file that moves leaves its old path behind in texts that no compiler reads.
#[test]
fn files_that_documents_and_checks_name_exist() {
    const FOLDERS: [&str; 5] = ["src/", "benches/", "docs/", "tests/it/", "infra/"];
    // tests/defects/ plants files.
    let of_documents = |name: &str| name.ends_with(".md") && !name.starts_with("tests/defects/");
    let of_checks = |name: &str| ["infra/checks/", ".ci/"].iter().any(|folder| name.starts_with(folder));
    let is_of_a_path = |letter: char| letter.is_ascii_alphanumeric() || "/._-*<".contains(letter);
    let mut seen = 0;
    for file in crate::tidy::files().into_iter().filter(|name| of_documents(name) || of_checks(name)) {
        for word in text(&file).split(|letter| !is_of_a_path(letter)) {
            let path = word.trim_start_matches("../").trim_end_matches('.');
            if FOLDERS.iter().any(|folder| path.starts_with(folder)) && !path.contains(['*', '<']) {
                assert!(Path::new(ROOT).join(path).exists(), "{file}: there is no {path}");
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "only {seen} paths are found");
}

/// The sources as they are compiled, with texts in one piece: without comments, without the ends of lines that a
/// backslash hides, with quotes as they are shown.
fn sources() -> String {
    let files = crate::tidy::files();
    let files = files.iter().filter(|name| name.starts_with("src/") && name.ends_with(".rs"));
    let mut whole = String::new();
    for line in files.flat_map(|name| text(name).lines().map(str::to_owned).collect::<Vec<_>>()) {
        let code = if whole.ends_with('\\') { line.trim_start() } else { line.as_str() };
        if code.trim_start().starts_with("//") {
            continue;
        }
        if whole.ends_with('\\') {
            whole.pop();
        } else {
            whole.push('\n');
        }
        whole.push_str(code);
    }
    whole.replace("\\\"", "\"")
}

/// The messages that a document's tables quote, each in italics.
fn quoted(document: &str) -> Vec<String> {
    let mut messages = Vec::new();
    let mut is_quoting = false;
    for line in document.lines() {
        let Some(row) = line.strip_prefix('|') else {
            is_quoting = false;
            continue;
        };
        is_quoting |= row.starts_with(" message |");
        let cell = row.split(" | ").next().unwrap_or_default();
        messages.extend(cell.split('*').skip(1).step_by(2).filter(|_| is_quoting).map(str::to_owned));
    }
    messages
}

/// A message that is worded anew must be worded anew there too, or a search for it finds nothing.
#[test]
fn messages_are_quoted_as_the_program_writes_them() {
    let sources = sources();
    let messages = quoted(&text("docs/troubleshooting.md"));
    assert!(messages.len() > 40, "only {} messages are found in the tables", messages.len());
    for message in messages {
        let fragments: Vec<&str> = message.split('…').map(str::trim).filter(|text| text.len() > 2).collect();
        assert!(fragments.iter().any(|text| text.len() > 11), "{message:?} says too little to be found");
        for fragment in fragments {
            assert!(sources.contains(fragment), "no source has {fragment:?}, of the message {message:?}");
        }
    }
}

#[test]
fn the_reference_names_every_field_of_a_report() {
    let reference = text("docs/reference.md");
    let mut counts = json!(Counts::default());
    let dropped = counts["dropped"].take();
    let fields = [&counts, &dropped].map(|object| object.as_object().unwrap().keys());
    for field in fields.into_iter().flatten() {
        let forms = [format!("`{field}`"), format!("`dropped.{field}`"), format!("`.{field}`")];
        assert!(
            forms.iter().any(|form| reference.contains(form)),
            "docs/reference.md says nothing of {field}"
        );
    }
}

/// What stands in a document as code: the lines of its blocks that name no language and are no output, and the rest
/// of its code, each in one piece.
fn code(document: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let (mut block, mut is_output) = (None, false);
    // A line that goes on behind a backslash is one.
    for line in document.replace("\\\n", "").lines() {
        is_output = (is_output || line.contains("output: begin -->")) && !line.contains("output: end -->");
        match (line.trim_start().strip_prefix("```"), block) {
            (Some(language), None) => block = Some(language.is_empty()),
            (Some(_), Some(_)) => block = None,
            (None, Some(true)) if !is_output => pieces.push(line.to_owned()),
            (None, Some(_)) => {}
            (None, None) => pieces.extend(line.split('`').skip(1).step_by(2).map(str::to_owned)),
        }
    }
    pieces
}

/// The words of each call of `program` in a piece of a shell's text, without the program.
fn calls(piece: &str, program: &str) -> Vec<Vec<String>> {
    let commands = piece.split(['|', ';', '&', '#', '>', '(', ')']);
    let words = commands.map(|command| command.split_whitespace().skip_while(|word| word.contains('=')));
    words
        .filter_map(|mut words| {
            let is_called = words.next()?.trim_start_matches("target/release/") == program;
            is_called.then(|| words.map(|word| word.trim_matches(['[', ']', '…']).to_owned()).collect())
        })
        .filter(|words: &Vec<String>| !words.is_empty())
        .collect()
}

#[test]
fn commands_of_mati_sync_in_the_documents_exist() {
    let mut seen = 0;
    for document in documents() {
        for words in code(&text(&document)).iter().flat_map(|piece| calls(piece, "mati-sync")) {
            // A number is meant.
            let words = words.iter().map(|word| if word == "N" { "7" } else { word });
            let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
            let parsed = Arguments::command().no_binary_name(true).try_get_matches_from(&words);
            let is_known = match &parsed {
                Ok(_) => true,
                Err(error) => matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion),
            };
            assert!(is_known, "{document}: mati-sync {}: {}", words.join(" "), parsed.unwrap_err());
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} calls of mati-sync are found in the documents");
}

/// The file that `cargo alias` runs, by `.cargo/config.toml`.
fn aliased(alias: &str) -> Option<String> {
    let config = text(".cargo/config.toml");
    let line = config.lines().find_map(|line| line.strip_prefix(&format!("{alias} = ")))?;
    let words: Vec<&str> = line.trim_matches('"').split(' ').collect();
    let after = |option: &str| Some(words[words.iter().position(|word| *word == option)? + 1]);
    let names = match after("--package") {
        // It announces the command behind `--` and runs it.
        Some("announce") => {
            let name = after("--").expect("a command");
            [format!("tests/sandbox/src/bin/{name}.rs"), format!("tests/sandbox/src/bin/{name}/main.rs")]
        }
        Some(_) => ["tools/package/src/main.rs".to_owned(), String::new()],
        None => return Some(String::new()),
    };
    let found = names.iter().find(|name| !name.is_empty() && Path::new(ROOT).join(name).is_file());
    Some(text(found.unwrap_or_else(|| panic!("cargo {alias} runs none of {names:?}"))))
}

/// Whether `source` declares the option `--name` for clap.
fn declares(source: &str, option: &str) -> bool {
    let field = option.trim_start_matches('-').replace('-', "_");
    let declarations = source.split("#[arg(long").skip(1);
    let fields = declarations.filter_map(|rest| rest.split_once("]\n")?.1.split_once(':'));
    option == "--help" || fields.into_iter().any(|(name, _)| name.trim().trim_start_matches("pub ") == field)
}

#[test]
fn commands_of_cargo_in_the_documents_exist() {
    /// Of cargo itself and of its tools, without an alias.
    const CARGO: [&str; 7] = ["bench", "build", "clippy", "deny", "doc", "fmt", "test"];
    let exists = |path: String| Path::new(ROOT).join(path).exists();
    let mut seen = 0;
    for document in documents() {
        for words in code(&text(&document)).iter().flat_map(|piece| calls(piece, "cargo")) {
            let shown = format!("{document}: cargo {}", words.join(" "));
            seen += 1;
            if let Some(source) = aliased(&words[0]) {
                let options = words.iter().skip_while(|word| *word != "--").skip(1);
                for option in options.filter(|word| word.starts_with("--")) {
                    assert!(declares(&source, option), "{shown}: there is no {option}");
                }
                continue;
            }
            assert!(CARGO.contains(&words[0].as_str()), "{shown}: there is no such command");
            for pair in words.windows(2) {
                let (option, value) = (pair[0].as_str(), &pair[1]);
                let is_there = match option {
                    "--bench" => exists(format!("benches/{value}.rs")) || exists(format!("benches/{value}")),
                    "--test" => exists(format!("tests/{value}/main.rs")),
                    // What follows the name of the test binary is a module of it, perhaps with a test.
                    "it" => {
                        let module = value.split("::").next().unwrap_or_default();
                        exists(format!("tests/it/{module}.rs")) || exists(format!("tests/it/{module}"))
                    }
                    _ => true,
                };
                assert!(is_there, "{shown}: there is no {value}");
            }
        }
    }
    assert!(seen > 15, "only {seen} calls of cargo are found in the documents");
}
