//! What the tests of the tool share: running the real binary, stores to work on, signals.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long something may take that is expected to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The tool, with arguments.
pub(crate) fn cairnlog<I, S>(arguments: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<std::ffi::OsStr>,
{
    let mut command = Command::new(env!("CARGO_BIN_EXE_cairnlog"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs the tool with this input and waits for its end.
pub(crate) fn run_with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = cairnlog(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A tool that ends early does not read all of it.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// Runs the tool without input.
pub(crate) fn run(arguments: &[&str]) -> Output {
    cairnlog(arguments).output().unwrap()
}

/// Standard output as text, after checking that all went well.
pub(crate) fn stdout_of(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Standard error as text.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Checks an exit status and that standard error is one line `cairnlog: ...` with these parts.
pub(crate) fn assert_fails(output: &Output, status: i32, parts: &[&str]) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(status), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("cairnlog: "), "{text}");
    for part in parts {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

/// One JSON value per line.
pub(crate) fn json_lines(text: &[u8]) -> Vec<Value> {
    std::str::from_utf8(text)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A new directory and the path of a store in it that does not exist yet.
pub(crate) fn new_store() -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = text(&directory.path().join("store"));
    (directory, path)
}

/// A path as text.
pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Appends lines to a store of small files.
pub(crate) fn append_lines(store: &str, topic: &str, lines: &str) -> Output {
    let arguments = ["append", store, "-t", topic, "--segment-size", "64K"];
    let output = run_with_input(&arguments, lines.as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    output
}

/// The records of a store.
pub(crate) fn records(store: &str) -> Vec<Value> {
    let output = run(&["inspect", store, "records", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let mut lines = json_lines(&output.stdout);
    lines.retain(|line| line.get("blank").is_none());
    lines
}

/// Where the fixtures are.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// The fixtures with their manifests, by name.
pub(crate) fn manifests() -> BTreeMap<String, Value> {
    let all: BTreeMap<_, _> = fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("manifest.json").exists())
        .map(|path| {
            let name = text(Path::new(path.file_name().unwrap()));
            let manifest = fs::read_to_string(path.join("manifest.json")).unwrap();
            (name, serde_json::from_str(&manifest).unwrap())
        })
        .collect();
    assert!(all.len() >= 11, "fixtures are missing");
    all
}

/// The store of a fixture, where it lies.
pub(crate) fn fixture_store(name: &str) -> String {
    text(&fixtures().join(name).join("store"))
}

/// A copy of a fixture's store to work on.
pub(crate) fn fixture_copy(name: &str) -> (TempDir, String) {
    let (directory, store) = new_store();
    copy_tree(Path::new(&fixture_store(name)), Path::new(&store));
    (directory, store)
}

/// A `broker.conf` beside a copied fixture, with the file sizes it was made with.
pub(crate) fn fixture_conf(name: &str, directory: &TempDir) -> String {
    let lines: Vec<String> = manifests()[name]["config"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{name}={value}\n")
        })
        .collect();
    let path = directory.path().join("broker.conf");
    fs::write(&path, lines.concat()).unwrap();
    text(&path)
}

/// Copies a directory with all that is in it.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every path below a directory, with content and modification time.
pub(crate) fn snapshot(
    directory: &Path,
) -> BTreeMap<PathBuf, Option<(Vec<u8>, std::time::SystemTime)>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(snapshot(&path));
            found.insert(path, None);
        } else {
            let modified = path.metadata().unwrap().modified().unwrap();
            found.insert(path.clone(), Some((fs::read(&path).unwrap(), modified)));
        }
    }
    found
}

/// Changes one byte of a file.
pub(crate) fn flip(path: &Path, at: u64, mask: u8) {
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= mask;
    fs::write(path, bytes).unwrap();
}

/// Waits until something is so.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "this did not happen: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Presses Ctrl-C.
pub(crate) fn interrupt(child: &Child) {
    let pid = i32::try_from(child.id()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

/// One line of `--acks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ack {
    pub(crate) line: u64,
    pub(crate) physical_offset: u64,
    pub(crate) queue_id: i64,
    pub(crate) queue_offset: u64,
}

/// Reads acknowledgements; each line is complete.
pub(crate) fn acks(text: &str) -> Vec<Ack> {
    assert!(text.is_empty() || text.ends_with('\n'), "a torn line");
    text.lines()
        .map(|line| {
            let fields: Vec<u64> = line.split(' ').map(|f| f.parse().unwrap()).collect();
            let [line, physical_offset, queue_id, queue_offset] = fields[..] else {
                panic!("not four fields: {line}");
            };
            Ack { line, physical_offset, queue_id: i64::try_from(queue_id).unwrap(), queue_offset }
        })
        .collect()
}

/// Checks that each acknowledged line is in the store where the acknowledgement says, whole.
pub(crate) fn assert_acknowledged_is_stored(store: &str, acks: &[Ack], lines: &[&str]) {
    let output = run(&["cat", store, "--json"]);
    let by_offset: BTreeMap<u64, Value> = json_lines(&output.stdout)
        .into_iter()
        .map(|message| (message["physical_offset"].as_u64().unwrap(), message))
        .collect();
    for ack in acks {
        let message = &by_offset[&ack.physical_offset];
        let index = usize::try_from(ack.line).unwrap() - 1;
        assert_eq!(message["body"], lines[index], "line {}", ack.line);
        assert_eq!(message["queue_id"], ack.queue_id);
        assert_eq!(message["queue_offset"], ack.queue_offset);
    }
}
