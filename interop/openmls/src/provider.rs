use openmls_rust_crypto::{MemoryStorage, RustCrypto};
use openmls_traits::OpenMlsProvider;
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::types::*;
use tls_codec::SecretVLBytes;

type Result<T> = std::result::Result<T, CryptoError>;

/// A Provider is OpenMLS's own, with another DeriveKeyPair for the post-quantum
/// KEMs.
#[derive(Default)]
pub struct Provider {
    crypto: Crypto,
    rand: RustCrypto,
    storage: MemoryStorage,
}

impl OpenMlsProvider for Provider {
    type CryptoProvider = Crypto;
    type RandProvider = RustCrypto;
    type StorageProvider = MemoryStorage;

    fn storage(&self) -> &MemoryStorage {
        &self.storage
    }

    fn crypto(&self) -> &Crypto {
        &self.crypto
    }

    fn rand(&self) -> &RustCrypto {
        &self.rand
    }
}

#[derive(Default)]
pub struct Crypto(RustCrypto);

/// The input of SHAKE256 in DeriveKeyPair of draft-ietf-hpke-pq, which is
/// LabeledDerive of Section 3 there, without a context. OpenMLS's HPKE library
/// hashes the input keying material alone.
fn labeled(kem: HpkeKemType, ikm: &[u8]) -> Vec<u8> {
    let (id, length): (u16, u16) = match kem {
        HpkeKemType::XWingKemDraft6 => (0x647a, 32),
        HpkeKemType::MlKem768 => (0x0041, 64),
        HpkeKemType::MlKem1024 => (0x0042, 64),
        _ => return ikm.to_vec(),
    };
    let label = b"DeriveKeyPair";
    let mut input = ikm.to_vec();
    input.extend(b"HPKE-v1KEM");
    input.extend(id.to_be_bytes());
    input.extend((label.len() as u16).to_be_bytes());
    input.extend(label);
    input.extend(length.to_be_bytes());
    input
}

impl OpenMlsCrypto for Crypto {
    fn derive_hpke_keypair(&self, config: HpkeConfig, ikm: &[u8]) -> Result<HpkeKeyPair> {
        let ikm = labeled(config.0, ikm);
        self.0.derive_hpke_keypair(config, &ikm)
    }

    fn supports(&self, suite: Ciphersuite) -> Result<()> {
        self.0.supports(suite)
    }

    fn supported_ciphersuites(&self) -> Vec<Ciphersuite> {
        self.0.supported_ciphersuites()
    }

    fn hkdf_extract(&self, hash: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes> {
        self.0.hkdf_extract(hash, salt, ikm)
    }

    fn hmac(&self, hash: HashType, key: &[u8], message: &[u8]) -> Result<SecretVLBytes> {
        self.0.hmac(hash, key, message)
    }

    fn hkdf_expand(
        &self,
        hash: HashType,
        prk: &[u8],
        info: &[u8],
        length: usize,
    ) -> Result<SecretVLBytes> {
        self.0.hkdf_expand(hash, prk, info, length)
    }

    fn hash(&self, hash: HashType, data: &[u8]) -> Result<Vec<u8>> {
        self.0.hash(hash, data)
    }

    fn aead_encrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        data: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>> {
        self.0.aead_encrypt(alg, key, data, nonce, aad)
    }

    fn aead_decrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        sealed: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>> {
        self.0.aead_decrypt(alg, key, sealed, nonce, aad)
    }

    fn signature_key_gen(&self, alg: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>)> {
        self.0.signature_key_gen(alg)
    }

    fn verify_signature(
        &self,
        alg: SignatureScheme,
        data: &[u8],
        key: &[u8],
        signature: &[u8],
    ) -> Result<()> {
        self.0.verify_signature(alg, data, key, signature)
    }

    fn sign(&self, alg: SignatureScheme, data: &[u8], key: &[u8]) -> Result<Vec<u8>> {
        self.0.sign(alg, data, key)
    }

    fn hpke_seal(
        &self,
        config: HpkeConfig,
        key: &[u8],
        info: &[u8],
        aad: &[u8],
        data: &[u8],
    ) -> Result<HpkeCiphertext> {
        self.0.hpke_seal(config, key, info, aad, data)
    }

    fn hpke_open(
        &self,
        config: HpkeConfig,
        input: &HpkeCiphertext,
        key: &[u8],
        info: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>> {
        self.0.hpke_open(config, input, key, info, aad)
    }

    fn hpke_setup_sender_and_export(
        &self,
        config: HpkeConfig,
        key: &[u8],
        info: &[u8],
        context: &[u8],
        length: usize,
    ) -> Result<(KemOutput, ExporterSecret)> {
        self.0
            .hpke_setup_sender_and_export(config, key, info, context, length)
    }

    fn hpke_setup_receiver_and_export(
        &self,
        config: HpkeConfig,
        enc: &[u8],
        key: &[u8],
        info: &[u8],
        context: &[u8],
        length: usize,
    ) -> Result<ExporterSecret> {
        self.0
            .hpke_setup_receiver_and_export(config, enc, key, info, context, length)
    }
}
