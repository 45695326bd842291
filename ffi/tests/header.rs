//! The committed header is what the sources give, and keeps its promises.
//!
//! `BLESS=1 cargo test -p cairnlog-ffi --test header` (`make header`) writes it anew.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod common;

use std::path::Path;
use std::sync::Once;

use common::{blessing, committed_header, compare_or_bless, crate_directory, header_path};

/// The macros that name the version a program was compiled with, from the package's own version.
fn version_macros() -> String {
    let part = |text: &str| text.parse::<u32>().unwrap();
    let major = part(env!("CARGO_PKG_VERSION_MAJOR"));
    let minor = part(env!("CARGO_PKG_VERSION_MINOR"));
    let patch = part(env!("CARGO_PKG_VERSION_PATCH"));
    format!(
        "// The version of this header; cairn_version_number() tells that of the loaded library.\n\
         #define CAIRN_VERSION_MAJOR {major}\n\
         #define CAIRN_VERSION_MINOR {minor}\n\
         #define CAIRN_VERSION_PATCH {patch}\n\
         #define CAIRN_VERSION_NUMBER {}\n\
         #define CAIRN_VERSION_STRING \"{}\"",
        major * 1_000_000 + minor * 1_000 + patch,
        env!("CARGO_PKG_VERSION"),
    )
}

fn generate() -> String {
    let directory = crate_directory();
    let mut config = cbindgen::Config::from_file(directory.join("cbindgen.toml")).unwrap();
    config.after_includes =
        config.after_includes.map(|text| text.replace("@VERSION_MACROS@", &version_macros()));
    let bindings =
        cbindgen::Builder::new().with_crate(&directory).with_config(config).generate().unwrap();
    let mut bytes = Vec::new();
    bindings.write(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

/// The prototypes of the header, each in one line.
fn prototypes(header: &str) -> Vec<String> {
    let code: String = header
        .lines()
        .filter(|line| !line.trim_start().starts_with("//") && !line.starts_with('#'))
        .collect::<Vec<_>>()
        .join("\n");
    code.split(';')
        .map(|statement| statement.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|statement| statement.contains(" cairn_") || statement.contains("*cairn_"))
        .filter(|statement| statement.ends_with(')') && !statement.contains("typedef"))
        .collect()
}

/// The committed header; when blessing, only after it was written anew.
fn header() -> String {
    static WRITTEN: Once = Once::new();
    if blessing() {
        WRITTEN.call_once(|| compare_or_bless(&header_path(), &generate()));
    }
    committed_header()
}

#[test]
fn the_committed_header_is_what_the_sources_give() {
    assert!(!header().is_empty());
    if !blessing() {
        compare_or_bless(&header_path(), &generate());
    }
}

#[test]
fn generating_writes_nothing_else_into_the_tree() {
    assert!(!Path::new(&crate_directory().join("include")).exists());
    assert!(!generate().contains('@'), "every placeholder is filled");
}

#[test]
fn each_prototype_that_returns_a_status_must_be_checked() {
    let header = header();
    let prototypes = prototypes(&header);
    assert!(prototypes.len() > 60, "found {}", prototypes.len());
    let mut with_status = 0;
    for prototype in prototypes {
        let returns_status =
            prototype.split('(').next().is_some_and(|head| head.contains("cairn_status cairn_"));
        if returns_status {
            with_status += 1;
        }
        assert_eq!(prototype.contains("CAIRN_MUST_CHECK"), returns_status, "{prototype}");
    }
    assert!(with_status > 30, "found {with_status}");
}

#[test]
fn each_item_and_field_is_documented() {
    let header = header();
    let lines: Vec<&str> = header.lines().collect();
    let mut items = 0;
    for (index, line) in lines.iter().enumerate() {
        if !is_item(&lines, index) {
            continue;
        }
        items += 1;
        // A prototype in two lines has its comment above the first one.
        let first = if lines[index - 1] == "CAIRN_MUST_CHECK" { index - 1 } else { index };
        let before = lines[first - 1].trim_start();
        assert!(before.starts_with("//"), "line {}: {line}", index + 1);
    }
    assert!(items > 150, "found {items}");
}

/// Whether a line begins something that wants a comment.
fn is_item(lines: &[&str], index: usize) -> bool {
    let line = lines[index];
    if line.starts_with("    ") {
        let variant = line.contains(" = ") && line.ends_with(',');
        let field = line.ends_with(';') && inside_struct(lines, index);
        return variant || field;
    }
    let kinds = [
        "enum cairn_",
        "typedef struct cairn_",
        "typedef void (*cairn_",
        "typedef int32_t (*cairn_",
        "#define CAIRN_ABI",
        "#define CAIRN_WAIT",
        "#define CAIRN_LATENCY",
    ];
    let prototype = line.contains(" cairn_") || line.contains("*cairn_");
    let other = line.starts_with([' ', '/', '#', '}']) || line.starts_with("template");
    kinds.iter().any(|kind| line.starts_with(kind))
        || (prototype && line.contains('(') && !other && !line.starts_with("typedef"))
}

/// Whether a line lies between the braces of a struct.
fn inside_struct(lines: &[&str], index: usize) -> bool {
    lines[..index]
        .iter()
        .rev()
        .find(|line| line.starts_with("typedef struct") || line.starts_with('}'))
        .is_some_and(|line| line.ends_with('{'))
}

#[test]
fn each_open_struct_has_its_beginning() {
    let header = header();
    let lines: Vec<&str> = header.lines().collect();
    let mut found = 0;
    for (index, line) in lines.iter().enumerate() {
        if line.trim() == "uint32_t struct_size;" {
            let name = lines[..index]
                .iter()
                .rev()
                .find_map(|line| line.strip_prefix("typedef struct "))
                .and_then(|rest| rest.strip_suffix(" {"))
                .unwrap();
            let expected = format!("#define {}_INIT CAIRN_INIT({name})", name.to_uppercase());
            assert!(header.contains(&expected), "{expected}");
            found += 1;
        }
    }
    assert_eq!(found, 12);
}

#[test]
fn the_header_is_in_ascii_and_not_blessed_in_ci() {
    assert!(header().is_ascii());
    assert!(!(blessing() && std::env::var_os("CI").is_some()));
}
