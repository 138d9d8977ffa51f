//! The rules of style that no compiler checks.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Longer than this, a file wants to be a folder.
const FILE_LINES_MAX: usize = 1000;

/// The one file that may hold `unsafe` blocks.
const UNSAFE_HOME: &str = "storage/src/map.rs";

/// Folders with nothing of ours in them.
const NOT_OURS: [&str; 6] = [".git", "target", "node_modules", "corpus", "artifacts", "__pycache__"];

/// Every file of the tree, relative to its root.
fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.to_path_buf()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_symlink() || NOT_OURS.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(root).unwrap().to_path_buf());
            }
        }
    }
    assert!(files.len() > 10, "the tree was not found");
    files.sort();
    files
}

fn rust_files() -> impl Iterator<Item = (PathBuf, String)> {
    files().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")).map(
        |path| {
            let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path)).unwrap();
            (path, text)
        },
    )
}

/// Words that are looked for would be found here, too, if they stood here in one piece.
fn word(halves: [&str; 2]) -> String {
    halves.concat()
}

/// The code of a line: what stands before a comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// Fails with every line of the given files on which `wrong` finds something.
fn no_line(files: impl Iterator<Item = (PathBuf, String)>, rule: &str, wrong: impl Fn(&str) -> bool) {
    let mut found = Vec::new();
    for (path, text) in files {
        for (number, line) in text.lines().enumerate() {
            if wrong(line) {
                found.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

#[test]
fn unsafe_code_has_one_home() {
    let forms = [
        word(["unsafe", " {"]),
        word(["unsafe", " fn"]),
        word(["unsafe", " impl"]),
        word(["allow(unsafe", "_code)"]),
    ];
    let others = rust_files().filter(|(path, _)| path != Path::new(UNSAFE_HOME));
    no_line(others, &format!("unsafe code outside {UNSAFE_HOME}"), |line| {
        forms.iter().any(|form| code(line).contains(form))
    });
}

#[test]
fn coordinators_have_no_clock() {
    let machines = rust_files().filter(|(path, _)| path.starts_with("src/coordinator"));
    let doors = ["Instant::now", "SystemTime::now", "thread::sleep", "tokio::time"];
    no_line(machines, "a state machine takes the time as an argument", |line| {
        doors.iter().any(|door| code(line).contains(door))
    });
}

#[test]
fn nothing_is_left_for_later_or_switched_off() {
    let words = [
        word(["TO", "DO"]),
        word(["FIX", "ME"]),
        word(["unimpl", "emented!"]),
        word(["to", "do!("]),
        word(["#[ign", "ore"]),
    ];
    no_line(rust_files(), "left for later", |line| words.iter().any(|word| line.contains(word)));
}

#[test]
fn files_stay_short() {
    let long: Vec<String> = rust_files()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(path, lines)| format!("{} has {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "more than {FILE_LINES_MAX} lines:\n{}", long.join("\n"));
}

/// Packages are named; where they come from is the business of whoever builds.
#[test]
fn no_registry_is_named() {
    let hosts = [
        word(["index.cra", "tes.io"]),
        word(["static.cra", "tes.io"]),
        word(["registry.np", "mjs"]),
        word(["pypi", ".org/simple"]),
        word(["files.python", "hosted"]),
        word(["repo.maven", ".apache"]),
        word(["repo1.", "maven"]),
        word(["proxy.go", "lang"]),
        word(["deb.deb", "ian.org"]),
    ];
    let texts = ["rs", "toml", "md", "py", "sh", "xml", "json", "js", "go", "java", ""];
    let ours = files().into_iter().filter(|path| {
        let extension =
            path.extension().map(|extension| extension.to_string_lossy().into_owned()).unwrap_or_default();
        texts.contains(&extension.as_str())
    });
    let readable = ours.filter_map(|path| {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path)).ok()?;
        Some((path, text))
    });
    no_line(readable, "a registry's host name", |line| hosts.iter().any(|host| line.contains(host)));
}

#[test]
fn scripts_can_be_started() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for path in files() {
        let Ok(text) = fs::read(root.join(&path)) else { continue };
        let executable = fs::metadata(root.join(&path)).unwrap().permissions().mode() & 0o111 != 0;
        if text.starts_with(b"#!/") && !executable {
            wrong.push(format!("{} is a script that is not executable", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
