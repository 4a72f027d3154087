//! Bare QUIC: one publisher writes everything to each of N-1 receivers, over a connection and a stream of its own.
//!
//! The crypto is that of `tidings` (TLS 1.3, raw Ed25519 keys at both ends, X25519MLKEM768 and nothing else, the same
//! library and cipher suites); flow control is as quinn has it by default. There is no signature, no order, no
//! repair and no duplicate: this is the ceiling that a broadcast is measured against.
//!
//! `fanout [--nodes 16] [--messages M --size BYTES]` prints one JSON object a workload.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, ServerConfig, TokioRuntime};
use rustix::time::{ClockId, clock_gettime};
use tidings_bench::{WORKLOADS, Workload, option};

mod tls {
    //! Raw public keys of anybody: whose they are is not asked here, but that they sign is checked.

    use std::sync::Arc;

    use rustls::client::AlwaysResolvesClientRawPublicKeys;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature_with_raw_key};
    use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
    use rustls::server::AlwaysResolvesServerRawPublicKeys;
    use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
    use rustls::sign::CertifiedKey;
    use rustls::{DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme};

    /// DER of a PKCS #8 key with an Ed25519 secret, up to the secret (RFC 8410).
    const PKCS8: [u8; 16] =
        [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    const ALPN: &[u8] = b"fanout/1";

    #[derive(Debug)]
    struct Anybody(Arc<CryptoProvider>);

    fn provider() -> Arc<CryptoProvider> {
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
        Arc::new(provider)
    }

    fn key(provider: &CryptoProvider, number: u8) -> Result<Arc<CertifiedKey>, Error> {
        let der = [&PKCS8[..], &[number; 32]].concat();
        let signing = provider.key_provider.load_private_key(PrivatePkcs8KeyDer::from(der).into())?;
        let public = signing.public_key().ok_or(Error::General("a key without a public half".into()))?;
        Ok(Arc::new(CertifiedKey::new(vec![CertificateDer::from(public.to_vec())], signing)))
    }

    pub(super) fn server(number: u8) -> Result<rustls::ServerConfig, Error> {
        let provider = provider();
        let mut config = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(Anybody(provider.clone())))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key(&provider, number)?)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }

    pub(super) fn client(number: u8) -> Result<rustls::ClientConfig, Error> {
        let provider = provider();
        let mut config = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider.clone())))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(key(&provider, number)?)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }

    macro_rules! raw_keys {
        () => {
            fn verify_tls12_signature(
                &self,
                _: &[u8],
                _: &CertificateDer<'_>,
                _: &DigitallySignedStruct,
            ) -> Result<HandshakeSignatureValid, Error> {
                Err(PeerIncompatible::Tls12NotOffered.into())
            }

            fn verify_tls13_signature(
                &self,
                message: &[u8],
                key: &CertificateDer<'_>,
                signed: &DigitallySignedStruct,
            ) -> Result<HandshakeSignatureValid, Error> {
                let key = SubjectPublicKeyInfoDer::from(key.as_ref());
                verify_tls13_signature_with_raw_key(message, &key, signed, &self.0.signature_verification_algorithms)
            }

            fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
                vec![SignatureScheme::ED25519]
            }

            fn requires_raw_public_keys(&self) -> bool {
                true
            }
        };
    }

    impl ServerCertVerifier for Anybody {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        raw_keys!();
    }

    impl ClientCertVerifier for Anybody {
        fn root_hint_subjects(&self) -> &[DistinguishedName] {
            &[]
        }

        fn verify_client_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: UnixTime,
        ) -> Result<ClientCertVerified, Error> {
            Ok(ClientCertVerified::assertion())
        }

        raw_keys!();
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What one write hands to QUIC at most; small messages are gathered to it, each behind its length.
const WRITE: usize = 64 << 10;
/// What the sockets are asked to hold, as `tidings` asks.
const SOCKET_BUFFER: usize = 4 << 20;

/// CPU seconds of all threads so far.
fn cpu_s() -> f64 {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

fn endpoint(server: Option<ServerConfig>) -> Result<Endpoint, Failure> {
    let socket = std::net::UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    // The system may give less; the run goes on with what it gives.
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER);
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER);
    Ok(Endpoint::new(EndpointConfig::default(), server, socket, Arc::new(TokioRuntime))?)
}

/// The bytes of a workload's messages, each behind its length, in pieces that all receivers share.
fn pieces(w: Workload) -> Vec<Bytes> {
    let payload: Bytes = vec![0x5a; w.size].into();
    let mut pieces = Vec::new();
    let mut gathered = Vec::new();
    for _ in 0..w.messages {
        gathered.extend((w.size as u32).to_le_bytes());
        if w.size < WRITE / 4 {
            gathered.extend(&payload);
        } else {
            pieces.push(std::mem::take(&mut gathered).into());
            pieces.extend((0..w.size).step_by(WRITE).map(|at| payload.slice(at..w.size.min(at + WRITE))));
        }
        if gathered.len() >= WRITE {
            pieces.push(std::mem::take(&mut gathered).into());
        }
    }
    pieces.push(gathered.into());
    pieces.retain(|p: &Bytes| !p.is_empty());
    pieces
}

async fn send(conn: Connection, mut pieces: Vec<Bytes>) -> Result<(), Failure> {
    let mut stream = conn.open_uni().await?;
    stream.write_all_chunks(&mut pieces).await?;
    stream.finish()?;
    stream.stopped().await?;
    Ok(())
}

async fn receive(conn: Connection, bytes: u64) -> Result<Instant, Failure> {
    let mut stream = conn.accept_uni().await?;
    let mut got = 0;
    let mut chunks = [const { Bytes::new() }; 16];
    while let Some(n) = stream.read_chunks(&mut chunks).await? {
        got += chunks[..n].iter_mut().map(|c| std::mem::take(c).len() as u64).sum::<u64>();
    }
    if got != bytes {
        return Err(format!("{got} of {bytes} bytes arrived").into());
    }
    Ok(Instant::now())
}

async fn run(nodes: usize, w: Workload) -> Result<(), Failure> {
    let publisher = endpoint(None)?;
    let client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls::client(1)?)?));
    let mut ends = Vec::new();
    for n in 1..nodes {
        let server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls::server(n as u8)?)?));
        let receiver = endpoint(Some(server))?;
        let dialed = publisher.connect_with(client.clone(), receiver.local_addr()?, "node")?;
        let accepted = async { Ok::<_, Failure>(receiver.accept().await.ok_or("no connection came")?.await?) };
        let (dialed, accepted) = tokio::try_join!(async { Ok::<_, Failure>(dialed.await?) }, accepted)?;
        ends.push((receiver, dialed, accepted));
    }
    let pieces = pieces(w);
    let bytes = pieces.iter().map(|p| p.len() as u64).sum();
    let receivers: Vec<_> = ends.iter().map(|(_, _, a)| tokio::spawn(receive(a.clone(), bytes))).collect();
    let (begun, cpu) = (Instant::now(), cpu_s());
    let senders: Vec<_> = ends.iter().map(|(_, d, _)| tokio::spawn(send(d.clone(), pieces.clone()))).collect();
    let mut last = begun;
    for receiver in receivers {
        last = last.max(receiver.await??);
    }
    let (elapsed, cpu) = ((last - begun).as_secs_f64(), cpu_s() - cpu);
    for sender in senders {
        sender.await??;
    }
    let deliveries = w.messages * (nodes as u64 - 1);
    let line = serde_json::json!({
        "workload": w.name,
        "nodes": nodes,
        "messages": w.messages,
        "size_bytes": w.size,
        "delivered": deliveries,
        "elapsed_ms": elapsed * 1e3,
        "goodput_mb_per_s": deliveries as f64 * w.size as f64 / elapsed / 1e6,
        "deliveries_per_s": deliveries as f64 / elapsed,
        "cpu_us_per_delivery": cpu * 1e6 / deliveries as f64,
    });
    println!("{line}");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let nodes = option("--nodes", 16)?;
    let (messages, size) = (option("--messages", 0)?, option("--size", 0)?);
    if !(2..=200).contains(&nodes) {
        return Err("--nodes takes 2 to 200".into());
    }
    if (messages > 0) != (size > 0) {
        return Err("--messages and --size go together".into());
    }
    let given = Workload { name: "given", messages, size };
    let all: &[Workload] = if messages > 0 { &[given] } else { &WORKLOADS };
    for w in all {
        run(nodes, *w).await?;
    }
    Ok(())
}
