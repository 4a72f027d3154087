//! The local API: who may ask, and what is answered to a request that makes no sense.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::{DEADLINE, Node};
use serde_json::Value;

/// One raw request; the status and the JSON of the answer.
fn request(node: &Node, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
    request_to(&node.api().0, method, path, headers, body)
}

fn request_to(addr: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "Host") {
        head.push_str(&format!("Host: {addr}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut socket = TcpStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(b"\r\n").unwrap();
    socket.write_all(body).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    // A stream comes in chunks, each behind a line with its length.
    let body = body.lines().find(|line| line.starts_with('{')).unwrap_or_default();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

fn authorized(node: &Node) -> String {
    format!("Bearer {}", node.api().1)
}

#[test]
fn without_the_token_nothing_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::up(dir.path(), &[]);
    let wrong = "Bearer 0000000000000000000000000000000000000000000000000000000000000000";
    for (method, path) in [
        ("GET", "/v1/id"),
        ("GET", "/v1/ticket"),
        ("POST", "/v1/down"),
        ("POST", "/v1/topics/t/messages"),
        ("GET", "/v1/topics/t/messages"),
        ("GET", "/nothing"),
    ] {
        for headers in [&[][..], &[("Authorization", wrong)], &[("Authorization", "Bearer")]] {
            let (status, body) = request(&node, method, path, headers, b"");
            assert_eq!(status, 401, "{method} {path} {headers:?}");
            assert!(body["error"].as_str().unwrap().contains("token"), "{body}");
        }
    }
    let (status, body) = request(&node, "GET", "/v1/id", &[("Authorization", &authorized(&node))], b"");
    assert_eq!((status, &body["node_id"]), (200, &node.ready["node_id"]));
}

#[test]
fn a_foreign_host_name_is_refused_even_with_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::up(dir.path(), &[]);
    let token = authorized(&node);
    let headers = [("Host", "evil.example"), ("Authorization", &*token)];
    assert_eq!(request(&node, "GET", "/v1/id", &headers, b"").0, 403);
    let headers = [("Host", "localhost:1"), ("Authorization", &*token)];
    assert_eq!(request(&node, "GET", "/v1/id", &headers, b"").0, 200);
}

#[test]
fn every_error_is_json_with_its_status() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::up(dir.path(), &[]);
    let token = authorized(&node);
    let headers = [("Authorization", &*token)];
    let long_topic = format!("/v1/topics/{}/messages", "t".repeat(256));
    let huge = vec![0; (64 << 20) + 1];
    for (method, path, body, status, says) in [
        ("GET", "/v1/nothing", &b""[..], 404, "/v1/nothing"),
        ("DELETE", "/v1/id", b"", 405, "DELETE"),
        ("GET", "/v1/topics/t/messages?count=x", b"", 400, "count"),
        ("GET", "/v1/topics/%ff/messages", b"", 400, "UTF-8"),
        ("GET", &long_topic, b"", 400, "256 bytes"),
        ("POST", &long_topic, b"x", 400, "256 bytes"),
        ("POST", "/v1/topics/t/messages?wait=x", b"x", 400, "wait"),
        ("POST", "/v1/topics/t/messages", &huge, 413, "more than 67108864 bytes"),
        ("GET", "/v1/contents/12", b"", 400, "64 hexadecimal digits"),
        ("GET", &format!("/v1/contents/{}", "0".repeat(64)), b"", 404, "does not have"),
    ] {
        let (got, answer) = request(&node, method, path, &headers, body);
        assert_eq!(got, status, "{method} {path}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(says), "{method} {path}: {answer}");
    }
    let (status, answer) = request(&node, "POST", "/v1/topics/t/messages", &headers, &huge[1..]);
    assert_eq!(status, 200, "the largest message is taken: {answer}");
    assert_eq!(request(&node, "POST", "/v1/topics/t/messages?wait=true", &headers, b"x").0, 200);
}

#[test]
fn a_stream_ends_after_as_many_messages_as_were_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::up(dir.path(), &[]);
    let token = authorized(&node);
    let headers = [("Authorization", &*token)];
    let path = "/v1/topics/a%2Fb/messages";
    let (addr, _) = node.api();
    std::thread::scope(|scope| {
        let stream = scope.spawn(|| request_to(&addr, "GET", &format!("{path}?count=1"), &headers, b""));
        node.wait_for("a/b", "subscriptions", 1);
        for text in ["one", "two"] {
            assert_eq!(request(&node, "POST", path, &headers, text.as_bytes()).0, 200);
        }
        let (status, line) = stream.join().unwrap();
        assert_eq!((status, &line["text"]), (200, &"one".into()), "{line}");
    });
}
