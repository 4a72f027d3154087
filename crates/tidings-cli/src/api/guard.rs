//! Who may speak to the local API: loopback by name and by address, with this run's token.
//!
//! A web page can make a browser connect to 127.0.0.1, and can point a name of its own there (DNS rebinding); it can
//! neither set `Authorization` without a preflight that is never answered, nor change `Host`. Both are checked before
//! anything is routed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Refusal;

/// The token requests must carry.
pub(super) struct Guard {
    token: Box<[u8]>,
}

impl Guard {
    pub(super) fn new(token: &str) -> Arc<Self> {
        Arc::new(Guard { token: token.as_bytes().into() })
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).map_or(&b""[..], |v| v.as_bytes());
        let scheme = b"bearer ";
        match given.split_at_checked(scheme.len()) {
            Some((s, token)) => s.eq_ignore_ascii_case(scheme) && same(token, &self.token),
            None => false,
        }
    }
}

/// Equality in time that depends on the length alone.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differ = a.iter().zip(b).fold(0_u8, |acc, (x, y)| std::hint::black_box(acc | (x ^ y)));
    a.len() == b.len() && differ == 0
}

fn loopback_host(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|h| h.to_str().ok()) else { return false };
    if let Ok(addr) = host.parse::<SocketAddr>() {
        return addr.ip().is_loopback();
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Turns strangers away.
pub(super) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    if !loopback_host(request.headers()) {
        let why = "this API answers to 127.0.0.1, [::1] and localhost only: use the address in api.json";
        return Refusal::new(StatusCode::FORBIDDEN, why).into_response();
    }
    if !guard.admits(request.headers()) {
        let why = "send the token of the node's api.json as Authorization: Bearer TOKEN";
        return Refusal::new(StatusCode::UNAUTHORIZED, why).into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn only_the_whole_token_opens() {
        let guard = Guard::new("s3cret");
        for good in ["Bearer s3cret", "bearer s3cret"] {
            assert!(guard.admits(&with(header::AUTHORIZATION, good)), "{good}");
        }
        for bad in ["", "Bearer ", "Bearer s3cre", "Bearer s3cretX", "Bearer S3cret", "Basic s3cret", "s3cret"] {
            assert!(!guard.admits(&with(header::AUTHORIZATION, bad)), "{bad}");
        }
        assert!(!guard.admits(&HeaderMap::new()));
    }

    #[test]
    fn names_that_resolve_here_but_are_not_ours_are_refused() {
        for good in ["127.0.0.1:80", "127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:9", "[::1]"] {
            assert!(loopback_host(&with(header::HOST, good)), "{good}");
        }
        for bad in ["evil.example:80", "127.0.0.1.evil.example", "10.0.0.1:80", "localhost.evil.example", "", ":80"] {
            assert!(!loopback_host(&with(header::HOST, bad)), "{bad}");
        }
        assert!(!loopback_host(&HeaderMap::new()));
    }
}
