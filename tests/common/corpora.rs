//! Test data from elsewhere; `tests/corpora/README.md` says from where.

use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpora")
}

/// Names and bytes of the JSON test suite's files: `y_` must be accepted, `n_` refused, `i_` is left open.
pub fn json_test_suite() -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder().join("jsontestsuite"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    assert_eq!(files.len(), 318, "the corpus is complete");
    files
}

/// Strings that have broken programs.
pub fn naughty_strings() -> Vec<String> {
    let strings: Vec<String> =
        serde_json::from_slice(&std::fs::read(folder().join("blns.json")).unwrap()).unwrap();
    assert_eq!(strings.len(), 515, "the corpus is complete");
    strings
}
