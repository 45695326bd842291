//! `recover`: says what opening would do, and does it.
#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::path::Path;

use common::*;
use serde_json::Value;

fn report(arguments: &[&str]) -> Value {
    let mut all = vec!["recover"];
    all.extend(arguments);
    all.push("--json");
    let output = run(&all);
    serde_json::from_str(&stdout_of(&output)).unwrap()
}

#[test]
fn the_end_of_every_fixture_is_the_manifest_s() {
    for (name, manifest) in manifests() {
        if name == "v533-corrupt-middle" || name.ends_with("empty") {
            continue;
        }
        let (directory, store) = fixture_copy(&name);
        let conf = fixture_conf(&name, &directory);
        let planned = report(&[&store, "--dry-run", "--conf", &conf]);
        let done = report(&[&store, "--conf", &conf]);
        let abort = if name.ends_with("running") || name.ends_with("torn") {
            "abort_present"
        } else {
            "abort_absent"
        };
        let end = &manifest["reopened"][abort]["max_phy_offset"];
        assert_eq!(&done["end_offset"], end, "{name}");
        assert_eq!(done["clean_stop"], abort == "abort_absent", "{name}");
        for field in ["end_offset", "records", "files", "bytes_set_aside", "clean_stop"] {
            assert_eq!(planned[field], done[field], "{name} {field}");
        }
        assert_eq!((&planned["dry_run"], &done["dry_run"]), (&true.into(), &false.into()));
        let left = records(&store);
        assert_eq!(left.len(), manifest["records"].as_array().unwrap().len(), "{name}");
    }
}

#[test]
fn a_torn_tail_is_removed() {
    let (directory, store) = fixture_copy("v533-torn");
    let conf = fixture_conf("v533-torn", &directory);
    let text = stdout_of(&run(&["recover", &store, "--dry-run", "--conf", &conf]));
    assert!(text.contains("was not closed"), "{text}");
    assert!(text.contains("to 123517"), "{text}");
    assert!(text.contains("would set aside"), "{text}");
    let text = stdout_of(&run(&["recover", &store, "--conf", &conf]));
    assert!(!text.contains("would"), "{text}");
    assert_eq!(run(&["inspect", &store, "records"]).status.code(), Some(0));
}

#[test]
fn damage_in_the_middle_needs_the_word_truncate() {
    let (directory, store) = fixture_copy("v533-corrupt-middle");
    let conf = fixture_conf("v533-corrupt-middle", &directory);
    let conf = ["--conf", &conf];
    let before = snapshot(Path::new(&store));
    for arguments in [&["recover", &store][..], &["recover", &store, "--dry-run"]] {
        let arguments = [arguments, &conf].concat();
        assert_fails(&run(&arguments), 1, &["143523", "--truncate"]);
    }
    let after = snapshot(Path::new(&store));
    let log = |all: &std::collections::BTreeMap<std::path::PathBuf, _>| {
        all.keys().filter(|path| path.to_str().unwrap().contains("commitlog")).count()
    };
    assert_eq!(log(&before), log(&after));
    let planned = report(&[&store, "--dry-run", "--truncate", conf[0], conf[1]]);
    assert_eq!(planned["end_offset"], 143_523);
    assert!(!Path::new(&store).join("lost+found").exists());
    let done = report(&[&store, "--truncate", conf[0], conf[1]]);
    assert_eq!(done["end_offset"], 143_523);
    let kept = fs::metadata(done["set_aside"].as_str().unwrap()).unwrap().len();
    assert_eq!(done["bytes_set_aside"], kept);
    assert!(kept >= 260_452 - 143_523, "{kept}");
    assert_eq!(records(&store).len(), 151);
}
