//! The built library exports what `abi/symbols.txt` lists, and the header's structs and numbers
//! are those of `abi/layout.txt`. A line may be added; one that changes or goes breaks programs and
//! needs a new major half of the ABI version and a new soname.
//!
//! `BLESS=1 cargo test -p cairnlog-ffi --test abi` writes both anew.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod common;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::Command;

use common::{
    committed_header, compare_or_bless, crate_directory, library_directory, root_directory, run,
};

fn exported_symbols() -> BTreeSet<String> {
    let library = library_directory().join("libcairnlog.so");
    let output = run(Command::new("nm").args(["-D", "--defined-only"]).arg(library));
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2).map(str::to_owned))
        .collect()
}

/// The names of the functions that the header declares.
fn declared_functions() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in committed_header().lines() {
        let Some((head, _)) = line.split_once('(') else {
            continue;
        };
        if line.starts_with([' ', '/', '#']) || line.starts_with("typedef") {
            continue;
        }
        let name = head.rsplit([' ', '*']).next().unwrap_or_default();
        if name.starts_with("cairn_") && !head.starts_with("template") {
            names.insert(name.to_owned());
        }
    }
    names
}

#[test]
fn the_library_exports_the_listed_symbols_and_no_others() {
    let symbols = exported_symbols();
    assert!(symbols.iter().all(|symbol| symbol.starts_with("cairn_")), "{symbols:?}");
    let listed: String = symbols.iter().map(|symbol| format!("{symbol}\n")).collect();
    compare_or_bless(&crate_directory().join("abi/symbols.txt"), &listed);
}

#[test]
fn the_header_declares_what_the_library_exports() {
    assert_eq!(declared_functions(), exported_symbols());
}

#[test]
fn the_shared_library_has_its_soname() {
    let library = library_directory().join("libcairnlog.so");
    let output = run(Command::new("readelf").arg("-d").arg(library));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("[libcairnlog.so.0]"), "{text}");
}

/// A C program that prints the layout of each struct and the value of each constant.
fn layout_program(header: &str) -> String {
    let mut program = String::from(
        "#include <stdio.h>\n#include \"cairnlog.h\"\n\
         #define FIELD(type, name) printf(\"  %s at %zu size %zu\\n\", #name, \
         offsetof(type, name), sizeof(((type *)0)->name))\n\
         int main(void) {\n",
    );
    let mut current = None;
    for line in header.lines() {
        if let Some(name) =
            line.strip_prefix("typedef struct ").and_then(|rest| rest.strip_suffix(" {"))
        {
            let _ = writeln!(program, "printf(\"struct {name} size %zu\\n\", sizeof({name}));");
            current = Some(name);
        } else if line.starts_with('}') {
            current = None;
        } else if let (Some(name), Some(field)) = (current, line.strip_suffix(';')) {
            let field = field.split('[').next().unwrap_or(field);
            let field = field.rsplit([' ', '*']).next().unwrap_or(field);
            let _ = writeln!(program, "FIELD({name}, {field});");
        } else if let Some((constant, _)) = line.trim().split_once(" = ")
            && constant.starts_with("CAIRN_")
        {
            let _ = writeln!(program, "printf(\"{constant} = %d\\n\", (int){constant});");
        }
    }
    program.push_str("return 0;\n}\n");
    program
}

fn layout() -> String {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("layout.c");
    let program = directory.path().join("layout");
    std::fs::write(&source, layout_program(&committed_header())).unwrap();
    run(Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(root_directory().join("include"))
        .arg(&source)
        .arg("-o")
        .arg(&program));
    String::from_utf8(run(&mut Command::new(&program)).stdout).unwrap()
}

#[test]
fn structs_and_numbers_are_those_listed() {
    let layout = layout();
    assert!(layout.contains("CAIRN_STATUS_INTERNAL = 900"));
    compare_or_bless(&crate_directory().join("abi/layout.txt"), &layout);
}

/// A field that is added later would otherwise hide in the padding and not change the size.
#[test]
fn structs_have_no_padding() {
    let layout = layout();
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<usize>().ok()).unwrap();
    let mut open: Option<(String, usize, usize)> = None;
    let mut structs = 0;
    for line in layout.lines().chain(["struct end size 0"]) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["struct", name, "size", size] => {
                if let Some((name, size, end)) = open.take() {
                    assert_eq!(size, end, "{name} ends with padding");
                    structs += 1;
                }
                open = Some(((*name).to_owned(), number(Some(size)), 0));
            }
            [field, "at", at, "size", size] => {
                let (name, _, end) = open.as_mut().unwrap();
                assert_eq!(number(Some(at)), *end, "padding before {name}.{field}");
                *end += number(Some(size));
            }
            _ => {}
        }
    }
    assert!(structs >= 12, "found {structs}");
}

/// A panic must not end the host's process, so such a build is refused.
#[test]
fn a_build_that_aborts_on_panic_is_refused() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let compile = |panic: &str| {
        let directory = tempfile::tempdir().unwrap();
        let output = Command::new(&rustc)
            .args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata"])
            .args(["-C", &format!("panic={panic}"), "--out-dir"])
            .arg(directory.path())
            .arg(crate_directory().join("src/lib.rs"))
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let refusal = "cairnlog turns panics into CAIRN_STATUS_INTERNAL";
    assert!(compile("abort").contains(refusal));
    assert!(!compile("unwind").contains(refusal));
}
