//! The local network: nodes find those of their own network without being told of anybody, in a network namespace of the
//! test's own.
#![allow(missing_docs)]

use std::process::Command;

/// Three nodes behind one interface: two of one network, one of another. Prints what the first and the last found.
const SCRIPT: &str = r#"
set -e
ip link set lo up
ip link add here type veth peer name there
ip addr add 10.77.0.1/24 dev here
ip link set here up multicast on
ip link set there up
ip route add 224.0.0.0/4 dev here
for n in a b c; do
  network=home; [ $n = c ] && network=other
  "$TIDINGS" up --data "$DIR/$n" --network $network --json $NO_LAN > "$DIR/$n.out" &
done
for try in $(seq $TRIES); do
  first=$("$TIDINGS" peers --data "$DIR/a" --json 2>/dev/null) || true
  case "$first" in *'"id"'*) break;; esac
  sleep 0.1
done
echo "a $first"
echo "b $(cat "$DIR/b.out")"
echo "c $("$TIDINGS" peers --data "$DIR/c" --json)"
for n in a b c; do "$TIDINGS" down --data "$DIR/$n" > "$DIR/$n.down"; done
wait
"#;

/// What the script printed, a line a node; nothing where namespaces are not allowed.
fn run(no_lan: &str, tries: usize) -> Option<Vec<String>> {
    let allowed = Command::new("unshare").args(["-rn", "true"]).status().is_ok_and(|s| s.success());
    if !allowed {
        println!("skipped: this machine allows no network namespaces");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = Command::new("unshare")
        .args(["-rn", "bash", "-c", SCRIPT])
        .env("TIDINGS", env!("CARGO_BIN_EXE_tidings"))
        .env("DIR", dir.path())
        .env("NO_LAN", no_lan)
        .env("TRIES", tries.to_string())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(String::from_utf8(out.stdout).unwrap().lines().filter(|l| !l.is_empty()).map(str::to_owned).collect())
}

fn id(ready: &str) -> &str {
    ready.split_once("\"node_id\":\"").unwrap().1.split_once('"').unwrap().0
}

#[test]
fn nodes_of_one_network_find_each_other_and_nobody_else() {
    let Some(lines) = run("", 100) else { return };
    let [a, b, c] = &lines[..] else { panic!("{lines:?}") };
    assert!(a.contains(id(b)), "{a}");
    assert!(c.ends_with("{\"peers\":[]}"), "{c}");
}

#[test]
fn who_does_not_want_to_is_not_found() {
    let Some(lines) = run("--no-lan", 15) else { return };
    assert!(lines[0].ends_with("{\"peers\":[]}"), "{}", lines[0]);
}
