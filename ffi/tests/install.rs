//! After an installation `pkg-config` and `find_package` really compile, link and run a program,
//! against the shared and against the static library.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{crate_directory, library_directory, run};

/// A program that needs no store: it shows that the right header met the right library.
const PROGRAM: &str = r#"
#include <stdio.h>
#include <string.h>
#include <cairnlog.h>

int main(void) {
    cairn_message message = CAIRN_MESSAGE_INIT;
    cairn_error *error = NULL;
    if (cairn_abi_check(CAIRN_ABI_VERSION) != CAIRN_STATUS_OK ||
        cairn_version_number() != CAIRN_VERSION_NUMBER ||
        strcmp(cairn_version_string(), CAIRN_VERSION_STRING) != 0) {
        return 1;
    }
    if (cairn_store_append(NULL, &message, NULL, &error) != CAIRN_STATUS_INVALID_ARGUMENT) {
        return 2;
    }
    printf("%s\n", cairn_error_message(error));
    cairn_error_free(error);
    return 0;
}
"#;

struct Installation {
    directory: tempfile::TempDir,
}

impl Installation {
    fn new() -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::write(directory.path().join("program.c"), PROGRAM).unwrap();
        let installation = Self { directory };
        // Twice: installing again must be fine.
        for _ in 0..2 {
            run(Command::new(crate_directory().join("install.sh"))
                .arg(installation.prefix())
                .arg(library_directory()));
        }
        installation
    }

    fn prefix(&self) -> PathBuf {
        self.directory.path().join("prefix")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The words `pkg-config` answers.
    fn pkg_config(&self, arguments: &[&str]) -> Vec<String> {
        let output = run(Command::new("pkg-config")
            .env("PKG_CONFIG_PATH", self.prefix().join("lib/pkgconfig"))
            .args(arguments)
            .arg("cairnlog"));
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_whitespace().map(str::to_owned).collect()
    }
}

fn expect_greeting(program: &Path, library_path: Option<PathBuf>) {
    let mut command = Command::new(program);
    command.env_remove("LD_LIBRARY_PATH");
    if let Some(path) = library_path {
        command.env("LD_LIBRARY_PATH", path);
    }
    let output = run(&mut command);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "the argument store is null\n");
}

#[test]
fn pkg_config_compiles_links_and_runs() {
    let installation = Installation::new();
    let version = installation.pkg_config(&["--modversion"]);
    assert_eq!(version, [env!("CARGO_PKG_VERSION")]);
    let shared = installation.file("shared");
    run(Command::new("cc")
        .arg(installation.file("program.c"))
        .args(installation.pkg_config(&["--cflags", "--libs"]))
        .arg("-o")
        .arg(&shared));
    expect_greeting(&shared, Some(installation.prefix().join("lib")));

    // The static library instead, with the system libraries that it needs.
    let fixed = installation.file("fixed");
    let libraries = installation
        .pkg_config(&["--cflags", "--libs", "--static"])
        .into_iter()
        .map(|word| if word == "-lcairnlog" { "-l:libcairnlog.a".to_owned() } else { word });
    run(Command::new("cc")
        .arg(installation.file("program.c"))
        .args(libraries)
        .arg("-o")
        .arg(&fixed));
    expect_greeting(&fixed, None);
}

#[test]
fn find_package_compiles_links_and_runs() {
    let installation = Installation::new();
    std::fs::write(
        installation.file("CMakeLists.txt"),
        "cmake_minimum_required(VERSION 3.16)\n\
         project(program C)\n\
         find_package(cairnlog 0.1 REQUIRED)\n\
         add_executable(shared program.c)\n\
         target_link_libraries(shared PRIVATE cairnlog::cairnlog)\n\
         add_executable(fixed program.c)\n\
         target_link_libraries(fixed PRIVATE cairnlog::static)\n",
    )
    .unwrap();
    let build = installation.file("build");
    run(Command::new("cmake")
        .arg("-S")
        .arg(installation.directory.path())
        .arg("-B")
        .arg(&build)
        .arg(format!("-DCMAKE_PREFIX_PATH={}", installation.prefix().display())));
    run(Command::new("cmake").arg("--build").arg(&build));
    expect_greeting(&build.join("shared"), None);
    expect_greeting(&build.join("fixed"), None);
}

#[test]
fn find_package_refuses_a_version_that_does_not_fit() {
    let installation = Installation::new();
    for wanted in ["0.2", "1.0", "0.0"] {
        std::fs::write(
            installation.file("CMakeLists.txt"),
            format!(
                "cmake_minimum_required(VERSION 3.16)\n\
                 project(program C)\n\
                 find_package(cairnlog {wanted} REQUIRED)\n"
            ),
        )
        .unwrap();
        let output = Command::new("cmake")
            .arg("-S")
            .arg(installation.directory.path())
            .arg("-B")
            .arg(installation.file(&format!("build-{wanted}")))
            .arg(format!("-DCMAKE_PREFIX_PATH={}", installation.prefix().display()))
            .output()
            .unwrap();
        assert!(!output.status.success(), "version {wanted} was accepted");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("compatible"), "{text}");
    }
}

#[test]
fn the_links_of_the_shared_library_lead_to_it() {
    let installation = Installation::new();
    let lib = installation.prefix().join("lib");
    let file = lib.join(concat!("libcairnlog.so.", env!("CARGO_PKG_VERSION")));
    for link in ["libcairnlog.so", "libcairnlog.so.0"] {
        assert!(lib.join(link).is_symlink());
        assert_eq!(lib.join(link).canonicalize().unwrap(), file.canonicalize().unwrap());
    }
}
