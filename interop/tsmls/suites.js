// The cipher suites of the peer: those of RFC 9420 as ts-mls has them, and those
// of draft-ietf-mls-pq-ciphersuites-06, put together from its parts.
//
// ts-mls has post-quantum suites of its own, with other combinations of hash, KDF
// and AEAD than the draft's and under numbers of its own. What the two share is
// the algorithms. So a suite of the draft is a value with the draft's algorithms,
// whose name is its number in decimal: ts-mls writes a name that it doesn't know
// as that number.

import { createHash } from "node:crypto"
import { ml_dsa44, ml_dsa65 } from "@noble/post-quantum/ml-dsa.js"
import { p256, p384, p521 } from "@noble/curves/nist.js"
import { XWing } from "@hpke/hybridkem-x-wing"
import { MlKem768, MlKem1024 } from "@hpke/ml-kem"
import { ciphersuites, getCiphersuiteFromName, getCiphersuiteImpl } from "ts-mls"

const xwing = { alg: "X-Wing", kem: XWing, id: 0x647a, seed: 32 }
const mlkem768 = { alg: "ML-KEM-768", kem: MlKem768, id: 0x0041, seed: 64 }
const mlkem1024 = { alg: "ML-KEM-1024", kem: MlKem1024, id: 0x0042, seed: 64 }

// KEM, AEAD, hash and signature of each, by the numbers that Mendlink gives them.
const drafts = {
  0xf001: [xwing, "AES128GCM", "256", "Ed25519"],
  0xf002: [xwing, "AES256GCM", "384", "Ed25519"],
  0xf006: [mlkem768, "AES256GCM", "384", "Ed25519"],
  0xf007: [mlkem768, "AES256GCM", "384", "P256"],
  0xf008: [mlkem1024, "AES256GCM", "384", "P384"],
  0xf009: [xwing, "CHACHA20POLY1305", "384", "ML-DSA-44"],
  0xf00a: [mlkem768, "AES256GCM", "384", "ML-DSA-65"],
  0xf00b: [mlkem1024, "AES256GCM", "384", "ML-DSA-87"],
}

export const suiteIDs = [1, 2, 3, 4, 5, 6, 7, ...Object.keys(drafts).map(Number)]

const cache = new Map()

// suite returns ts-mls's implementation of a suite.
export async function suite(id) {
  if (!cache.has(id)) cache.set(id, await (drafts[id] ? draftSuite(id) : rfcSuite(id)))
  return cache.get(id)
}

// suiteName returns the name that ts-mls has for a number in messages.
export function suiteName(id) {
  return Object.keys(ciphersuites).find((name) => ciphersuites[name] === id) ?? String(id)
}

export function suiteNumber(name) {
  return ciphersuites[name] ?? Number(name)
}

async function rfcSuite(id) {
  return getCiphersuiteImpl(getCiphersuiteFromName(suiteName(id)))
}

async function draftSuite(id) {
  const [kem, aead, hash, signature] = drafts[id]
  const mldsa = { "ML-DSA-44": ml_dsa44, "ML-DSA-65": ml_dsa65 }[signature]
  const cs = await getCiphersuiteImpl({
    name: suiteName(id),
    hash: `SHA-${hash}`,
    hpke: { kem: kem.alg, kdf: `HKDF-SHA${hash}`, aead },
    signature: mldsa ? "ML-DSA-87" : signature,
  })
  return {
    ...cs,
    hpke: { ...cs.hpke, deriveKeyPair: (ikm) => deriveKeyPair(kem, ikm) },
    signature: mldsa ? signatureOf(mldsa) : cs.signature,
  }
}

// deriveKeyPair is DeriveKeyPair of draft-ietf-hpke-pq. ts-mls's libraries hash
// the input keying material without a label (X-Wing), or take it for the seed
// (ML-KEM).
function deriveKeyPair(kem, ikm) {
  const seed = labeledDerive(kem.id, ikm, "DeriveKeyPair", kem.seed)
  const k = new kem.kem()
  return kem === xwing ? k.generateKeyPairDerand(seed) : k.deriveKeyPair(seed)
}

// labeledDerive is LabeledDerive of draft-ietf-hpke-pq, Section 3, with SHAKE256
// and no context.
function labeledDerive(kemID, ikm, label, length) {
  const u16 = (n) => Buffer.from([n >> 8, n & 0xff])
  const h = createHash("shake256", { outputLength: length })
  h.update(ikm)
  h.update("HPKE-v1")
  h.update("KEM")
  h.update(u16(kemID))
  h.update(u16(label.length))
  h.update(label)
  h.update(u16(length))
  return new Uint8Array(h.digest())
}

function signatureOf(mldsa) {
  return {
    sign: async (key, message) => mldsa.sign(message, key),
    verify: async (key, message, signature) => mldsa.verify(signature, message, key),
    keygen: async () => {
      const pair = mldsa.keygen(crypto.getRandomValues(new Uint8Array(32)))
      return { signKey: pair.secretKey, publicKey: pair.publicKey }
    },
  }
}

const curves = { 2: p256, 5: p521, 7: p384, 0xf007: p256, 0xf008: p384 }

// signatureKeyPair makes a signature key. Of an ECDSA key ts-mls writes the
// compressed point, where RFC 9420, Section 5.1.1, wants the uncompressed one;
// asWritten leaves it at that.
export async function signatureKeyPair(cs, id, asWritten) {
  const pair = await cs.signature.keygen()
  if (curves[id] && !asWritten) pair.publicKey = curves[id].getPublicKey(pair.signKey, false)
  return pair
}
