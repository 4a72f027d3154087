//! A QUIC endpoint that proves a raw Ed25519 key and believes anybody: what a peer of another make could be.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, ServerConfig};
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use tidings::transport::{QuicTransport, Transport};
use tidings_proto::identity::NodeId;

pub(crate) struct Raw {
    pub(crate) endpoint: Endpoint,
    pub(crate) id: NodeId,
}

impl Raw {
    pub(crate) fn bind(seed: u8, groups: &[&'static dyn SupportedKxGroup], alpn: &[u8]) -> Raw {
        let provider = CryptoProvider { kx_groups: groups.to_vec(), ..aws_lc_rs::default_provider() };
        // RFC 8410: PKCS #8 around 32 secret bytes; and the public half comes as 12 bytes of DER and the key.
        let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
        der.extend_from_slice(&[seed; 32]);
        let signing = provider.key_provider.load_private_key(PrivatePkcs8KeyDer::from(der).into()).unwrap();
        let public = signing.public_key().unwrap();
        let id = NodeId(public.as_ref()[12..].try_into().unwrap());
        let key = Arc::new(CertifiedKey::new(vec![CertificateDer::from(public.to_vec())], signing));
        let provider = Arc::new(provider);

        let mut server = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_client_cert_verifier(Arc::new(Credulous))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key.clone())));
        server.alpn_protocols = vec![alpn.to_vec()];
        let server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server).unwrap()));
        let mut endpoint = Endpoint::server(server, "127.0.0.1:0".parse().unwrap()).unwrap();

        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Credulous))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(key)));
        client.alpn_protocols = vec![alpn.to_vec()];
        endpoint.set_default_client_config(ClientConfig::new(Arc::new(QuicClientConfig::try_from(client).unwrap())));
        Raw { endpoint, id }
    }

    pub(crate) async fn connect(&self, to: &QuicTransport) -> Result<Connection, ConnectionError> {
        let Some(tidings_proto::identity::Addr::Socket(addr)) = to.local_addrs().first().copied() else {
            panic!("no address");
        };
        self.endpoint.connect(addr, "anybody").unwrap().await
    }
}

macro_rules! anything_goes {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }

        fn requires_raw_public_keys(&self) -> bool {
            true
        }
    };
}

/// Takes every key for what it says.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
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

    anything_goes!();
}

impl ClientCertVerifier for Credulous {
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

    anything_goes!();
}
