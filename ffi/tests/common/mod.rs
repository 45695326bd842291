//! What the tests of the header, the library and the installation share.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The directory of this crate.
pub(crate) fn crate_directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The root of the checkout.
pub(crate) fn root_directory() -> PathBuf {
    crate_directory().parent().unwrap().to_path_buf()
}

/// The committed header.
pub(crate) fn header_path() -> PathBuf {
    root_directory().join("include/cairnlog.h")
}

/// The text of the committed header.
pub(crate) fn committed_header() -> String {
    std::fs::read_to_string(header_path()).unwrap()
}

/// Whether expected files are to be written anew.
pub(crate) fn blessing() -> bool {
    std::env::var_os("BLESS").is_some_and(|value| value == "1")
}

/// Compares a committed file with what it should hold, or writes it when blessing.
pub(crate) fn compare_or_bless(path: &Path, expected: &str) {
    if blessing() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, expected).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    let difference = committed
        .lines()
        .zip(expected.lines())
        .enumerate()
        .find(|(_, (ours, theirs))| ours != theirs);
    assert!(
        committed == expected,
        "{} is not up to date, first difference {difference:?}; if the change is meant, write it \
         anew with BLESS=1",
        path.display(),
    );
}

/// The directory that holds the libraries of this build. They are brought up to date first: a test
/// does not link them, so building the tests does not build them.
pub(crate) fn library_directory() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let tests = std::env::current_exe().unwrap().parent().unwrap().to_path_buf();
        let profile = tests.parent().unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--locked", "--lib", "--bins", "--tests", "--target-dir"]);
        build.arg(profile.parent().unwrap()).current_dir(root_directory());
        // What the tests were built with: of another choice cargo would build shared crates anew.
        let packages = std::env::var("CAIRNLOG_PACKAGES");
        build.args(packages.as_deref().unwrap_or("-p cairnlog-ffi").split_whitespace());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        run(&mut build);
        tests
    });
    built.clone()
}

/// Runs a command and gives its output; fails the test with all of it if the command fails.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output
}
