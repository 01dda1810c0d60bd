//! What the engine must be, and that it is said in one line where it is not.

use std::fs;

use super::come;
use crate::redis::{Engine, has_engine};

/// How a node that cannot join ends: with status 1, and one line.
pub fn refusal(arguments: &[&str]) -> String {
    let ended = crate::process::run(&[&["--listen", "127.0.0.1:0"], arguments].concat());
    assert_eq!(ended.code, Some(1), "{:?}", ended.log);
    assert_eq!(ended.log.len(), 1, "{:?}", ended.log);
    assert!(ended.log[0].starts_with("parlor: cannot join the cluster at "), "{:?}", ended.log);
    ended.log[0].clone()
}

#[test]
fn what_is_no_engine_for_nodes_is_refused_at_the_start() {
    if !has_engine() {
        return;
    }
    let refused = |engine: &Engine, why: &str| {
        let line = refusal(&["--cluster", &engine.url()]);
        assert!(line.contains(why), "{line}");
    };
    refused(&Engine::start(&["--cluster-enabled", "yes"]), "not standalone");
    refused(&Engine::start(&["--replicaof", "127.0.0.1", "1"]), "no primary");
    refused(&Engine::start(&["--maxmemory-policy", "allkeys-lru"]), "noeviction");
    let engine = Engine::start(&[]);
    engine.ask(&["ACL", "SETUSER", "default", "resetchannels"]);
    refused(&engine, "NOPERM");
    engine.ask(&["ACL", "SETUSER", "default", "allchannels", "-eval"]);
    refused(&engine, "EVAL");
    let line = refusal(&["--cluster", "redis+unix:/nowhere"]);
    assert!(line.contains("redis+unix:/nowhere"), "{line}");
    let line = refusal(&["--cluster", "redis://127.0.0.1:1"]);
    assert!(line.contains("redis://127.0.0.1:1"), "{line}");
}

#[test]
fn passwords_and_users() {
    if !has_engine() {
        return;
    }
    let engine = Engine::start(&["--requirepass", "secret"]);
    let line = refusal(&["--cluster", &engine.url()]);
    assert!(line.contains("NOAUTH"), "{line}");
    let file = engine.directory.file("password");
    let file = file.to_str().unwrap();
    fs::write(file, "wrong\n").unwrap();
    let line = refusal(&["--cluster", &engine.url(), "--cluster-password-file", file]);
    assert!(line.contains("WRONGPASS") && !line.contains("wrong\n"), "{line}");
    fs::write(file, "secret\n").unwrap();
    let (_node, address) = engine.node(&["--cluster-password-file", file]);
    come(&address, "hall");
}
