//! TLS 1.3 between nodes: each end proves its Ed25519 key, which is its id, as a raw public key (RFC 7250).
//!
//! There are no certificates, no names, no sessions to resume and no early data. The hybrid key exchange X25519MLKEM768
//! is the only one offered or taken, so nothing can fall back to a classic one.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, ServerConfig,
    SignatureScheme,
};
use tidings_proto::identity::{NodeId, SecretKey};
use tidings_proto::wire::ALPN;

/// DER of a `SubjectPublicKeyInfo` with an Ed25519 key, up to the key (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// DER of a PKCS #8 key with an Ed25519 secret, up to the secret (RFC 8410).
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// What a node needs to speak TLS.
pub(super) struct Tls {
    provider: Arc<CryptoProvider>,
    key: Arc<CertifiedKey>,
}

impl Tls {
    pub(super) fn new(secret: &SecretKey) -> Result<Tls, Error> {
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
        let der = [&PKCS8[..], secret.expose()].concat();
        let signing = provider.key_provider.load_private_key(PrivatePkcs8KeyDer::from(der).into())?;
        let public = signing.public_key().ok_or(Error::General("a key without a public half".into()))?;
        let key = Arc::new(CertifiedKey::new(vec![CertificateDer::from(public.to_vec())], signing));
        Ok(Tls { provider: Arc::new(provider), key })
    }

    /// The id that others will see proven.
    pub(super) fn id(&self) -> Option<NodeId> {
        node(self.key.end_entity_cert().ok()?)
    }

    fn verifier(&self, expected: Option<NodeId>) -> Arc<Verifier> {
        Arc::new(Verifier { provider: self.provider.clone(), expected })
    }

    /// For incoming connections.
    pub(super) fn server(&self) -> Result<QuicServerConfig, Error> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(self.verifier(None))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(self.key.clone())));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        QuicServerConfig::try_from(config).map_err(|error| Error::General(error.to_string()))
    }

    /// For a connection to `peer` and nobody else.
    pub(super) fn client(&self, peer: NodeId) -> Result<QuicClientConfig, Error> {
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(Some(peer)))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(self.key.clone())));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        QuicClientConfig::try_from(config).map_err(|error| Error::General(error.to_string()))
    }
}

/// The node on the other end of a connection, as TLS proved it.
pub(super) fn peer(conn: &quinn::Connection) -> Option<NodeId> {
    let proven = conn.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    node(proven.first()?)
}

fn node(key: &CertificateDer<'_>) -> Option<NodeId> {
    key.strip_prefix(&SPKI)?.try_into().ok().map(NodeId)
}

/// Takes raw Ed25519 keys: one only, or any, since whoever holds it has that id.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    expected: Option<NodeId>,
}

impl Verifier {
    fn check(&self, key: &CertificateDer<'_>, more: &[CertificateDer<'_>]) -> Result<(), Error> {
        let id = node(key).filter(|_| more.is_empty()).ok_or(CertificateError::BadEncoding)?;
        if self.expected.is_some_and(|expected| expected != id) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(())
    }
}

/// What rustls asks of the verifier of either end alike.
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
            let algorithms = &self.provider.signature_verification_algorithms;
            verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }

        fn requires_raw_public_keys(&self) -> bool {
            true
        }
    };
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        key: &CertificateDer<'_>,
        more: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(key, more).map(|()| ServerCertVerified::assertion())
    }

    raw_keys!();
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        key: &CertificateDer<'_>,
        more: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(key, more).map(|()| ClientCertVerified::assertion())
    }

    raw_keys!();
}
