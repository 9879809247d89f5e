// ts-mls as a peer of the live tests: it reads a request a line from its standard
// input, a JSON object, and writes the answer as one line. See ../README.md for
// the requests.

import { createInterface } from "node:readline"
import * as mls from "ts-mls"
import { defaultClientConfig } from "ts-mls/clientConfig.js"
import { decodeRatchetTree, encodeRatchetTree } from "ts-mls/ratchetTree.js"
import { leafNodeTBSEncoder } from "ts-mls/leafNode.js"
import { encode } from "ts-mls/codec/tlsEncoder.js"
import { decodeVarLenData, varLenDataEncoder } from "ts-mls/codec/variableLength.js"
import { signWithLabel } from "ts-mls/crypto/signature.js"
import { leafToNodeIndex, toLeafIndex } from "ts-mls/treemath.js"
import { makeResumptionPsk } from "ts-mls/resumption.js"
import { updateLeafKey } from "ts-mls/privateKeyPath.js"
import { signatureKeyPair, suite, suiteIDs, suiteName, suiteNumber } from "./suites.js"

const b64 = (bytes) => Buffer.from(bytes).toString("base64")
const bytes = (text) => new Uint8Array(Buffer.from(text ?? "", "base64"))
const message = (content) => b64(mls.encodeMlsMessage({ version: "mls10", ...content }))

function decode(text) {
  const b = bytes(text)
  const [m, length] = mls.decodeMlsMessage(b, 0) ?? []
  if (m === undefined) throw new Error("message does not decode")
  if (length !== b.length) throw new Error(`message has ${b.length - length} octets too many`)
  return m
}

function tree(text) {
  return text ? decodeRatchetTree(bytes(text), 0)[0] : undefined
}

// A Member is one client in at most one group.
class Member {
  constructor(request, cs, signature) {
    this.suite = request.suite
    this.identity = bytes(request.identity)
    this.cs = cs
    this.signature = signature
    this.psks = {}
    this.config = { ...defaultClientConfig, paddingConfig: { kind: "padUntilLength", padUntilLength: request.padding || 0 } }
  }

  static async new(request) {
    const cs = await suite(request.suite)
    return new Member(request, cs, await signatureKeyPair(cs, request.suite, request.as_written))
  }

  async makeKeyPackage() {
    const now = BigInt(Math.floor(Date.now() / 1000))
    return mls.generateKeyPackageWithKey(
      { credentialType: "basic", identity: this.identity },
      {
        versions: ["mls10"],
        ciphersuites: suiteIDs.map(String),
        extensions: [],
        proposals: [],
        credentials: ["basic"],
      },
      { notBefore: now - 3600n, notAfter: now + 86400n },
      [],
      this.signature,
      this.cs,
    )
  }

  pskIndex() {
    return mls.makePskIndex(this.state, this.psks)
  }

  // followReInit gets a signature key for the cipher suite of the group that
  // succeeds a closed one.
  async followReInit() {
    const { kind, reinit } = this.state?.groupActiveState ?? {}
    if (kind !== "suspendedPendingReinit" || reinit.cipherSuite === this.cs.name) return
    this.suite = suiteNumber(reinit.cipherSuite)
    this.cs = await suite(this.suite)
    this.signature = await signatureKeyPair(this.cs, this.suite)
  }

  async key_package() {
    await this.followReInit()
    this.keyPackage = await this.makeKeyPackage()
    return { message: message({ wireformat: "mls_key_package", keyPackage: this.keyPackage.publicPackage }) }
  }

  async psk({ id, secret }) {
    // The index is by the identifier in base64.
    this.psks[mls.bytesToBase64(bytes(id))] = bytes(secret)
  }

  async create({ group_id }) {
    const { publicPackage, privatePackage } = await this.makeKeyPackage()
    this.state = await mls.createGroup(bytes(group_id), publicPackage, privatePackage, [], this.cs, this.config)
  }

  async join(request) {
    const m = decode(request.message)
    if (m.wireformat !== "mls_welcome") throw new Error(`message is ${m.wireformat}`)
    const { publicPackage, privatePackage } = this.keyPackage
    this.state = await mls.joinGroup(
      m.welcome,
      publicPackage,
      privatePackage,
      this.pskIndex(),
      this.cs,
      tree(request.tree),
      request.succeeds ? this.state : undefined,
      this.config,
    )
  }

  async branch({ group_id, key_packages }) {
    return this.succeed("branch", bytes(group_id), this.state.groupContext.extensions, key_packages)
  }

  async reinitialize({ key_packages }) {
    await this.followReInit()
    const { groupId, extensions } = this.state.groupActiveState.reinit
    return this.succeed("reinit", groupId, extensions, key_packages)
  }

  // succeed does what branchGroup and reinitCreateNewGroup of ts-mls do, which
  // have no argument for the suites that it lacks and leave out the tree.
  async succeed(usage, groupId, extensions, keyPackages) {
    const { publicPackage, privatePackage } = await this.makeKeyPackage()
    const psk = makeResumptionPsk(this.state, usage, this.cs)
    const state = await mls.createGroup(groupId, publicPackage, privatePackage, extensions, this.cs, this.config)
    const { welcome, newState } = await mls.createCommit(
      { state, pskIndex: this.pskIndex(), cipherSuite: this.cs },
      {
        extraProposals: [
          ...keyPackages.map((k) => this.proposal({ add: k })),
          { proposalType: "psk", psk: { preSharedKeyId: psk.id } },
        ],
        ratchetTreeExtension: true,
      },
    )
    this.enter(newState)
    return { message: message({ wireformat: "mls_welcome", welcome }) }
  }

  proposal(p) {
    if (p.add) return { proposalType: "add", add: { keyPackage: decode(p.add).keyPackage } }
    if (p.remove !== undefined) return { proposalType: "remove", remove: { removed: p.remove } }
    if (p.psk) {
      const pskNonce = this.cs.rng.randomBytes(this.cs.kdf.size)
      return {
        proposalType: "psk",
        psk: { preSharedKeyId: { psktype: "external", pskId: bytes(p.psk), pskNonce } },
      }
    }
    if (p.resumption !== undefined) {
      const pskId = {
        psktype: "resumption",
        usage: "application",
        pskGroupId: this.state.groupContext.groupId,
        pskEpoch: BigInt(p.resumption),
        pskNonce: this.cs.rng.randomBytes(this.cs.kdf.size),
      }
      return { proposalType: "psk", psk: { preSharedKeyId: pskId } }
    }
    if (p.reinit) {
      const reinit = {
        groupId: bytes(p.reinit.group_id),
        version: "mls10",
        cipherSuite: suiteName(p.reinit.suite),
        extensions: [],
      }
      return { proposalType: "reinit", reinit }
    }
    if (p.context_extensions) {
      const extensions = p.context_extensions.map((x) => ({
        extensionType: extensionName(x.type),
        extensionData: bytes(x.data),
      }))
      return { proposalType: "group_context_extensions", groupContextExtensions: { extensions } }
    }
    throw new Error("no such proposal")
  }

  async propose({ proposal, public: asPublic }) {
    const p = proposal.update ? await this.update() : this.proposal(proposal)
    const result = await mls.createProposal(this.state, asPublic, p, this.cs)
    this.state = result.newState
    return { message: b64(mls.encodeMlsMessage(result.message)) }
  }

  // update makes an Update proposal, for which ts-mls has no function.
  async update() {
    const { leafIndex } = this.state.privatePath
    const { leaf } = this.state.ratchetTree[leafToNodeIndex(toLeafIndex(leafIndex))]
    const key = await this.cs.hpke.generateKeyPair()
    const content = {
      leafNodeSource: "update",
      hpkePublicKey: await this.cs.hpke.exportPublicKey(key.publicKey),
      signaturePublicKey: leaf.signaturePublicKey,
      credential: leaf.credential,
      capabilities: leaf.capabilities,
      extensions: leaf.extensions,
    }
    const tbs = encode(leafNodeTBSEncoder)({ ...content, groupId: this.state.groupContext.groupId, leafIndex })
    const signature = await signWithLabel(this.state.signaturePrivateKey, "LeafNodeTBS", tbs, this.cs.signature)
    this.updateKey = await this.cs.hpke.exportPrivateKey(key.privateKey)
    return { proposalType: "update", update: { leafNode: { ...content, signature } } }
  }

  async commit({ proposals = [], public: asPublic, without_tree, authenticated_data }) {
    const { commit, welcome, newState } = await mls.createCommit(
      { state: this.state, pskIndex: this.pskIndex(), cipherSuite: this.cs },
      {
        wireAsPublicMessage: asPublic,
        extraProposals: proposals.map((p) => this.proposal(p)),
        ratchetTreeExtension: !without_tree,
        authenticatedData: bytes(authenticated_data),
      },
    )
    this.pending = newState
    return {
      message: b64(mls.encodeMlsMessage(commit)),
      welcome: welcome && message({ wireformat: "mls_welcome", welcome }),
      tree: b64(encodeRatchetTree(newState.ratchetTree)),
    }
  }

  async merge() {
    this.enter(this.pending)
  }

  enter(state) {
    this.state = state
    this.pending = this.updateKey = undefined
  }

  async protect({ data, authenticated_data }) {
    const { newState, privateMessage } = await mls.createApplicationMessage(
      this.state,
      bytes(data),
      this.cs,
      bytes(authenticated_data),
    )
    this.state = newState
    return { message: message({ wireformat: "mls_private_message", privateMessage }) }
  }

  async process(request) {
    const m = decode(request.message)
    const { epoch } = this.state.groupContext
    let kind = "application"
    const observe = (incoming) => {
      kind = incoming.kind
      return "accept"
    }
    const run = (state) =>
      m.wireformat === "mls_private_message"
        ? mls.processPrivateMessage(state, m.privateMessage, this.pskIndex(), this.cs, observe)
        : mls.processPublicMessage(state, m.publicMessage, this.pskIndex(), this.cs, observe)

    let result
    try {
      result = await run(this.state)
    } catch (e) {
      // ts-mls leaves it to its user to put in the private key of an Update
      // that a commit brings into force.
      if (kind !== "commit" || !this.updateKey) throw e
      result = await run({ ...this.state, privatePath: updateLeafKey(this.state.privatePath, this.updateKey) })
    }
    if (kind === "commit" && result.newState.groupContext.epoch !== epoch) this.enter(result.newState)
    else this.state = result.newState
    const removed = result.newState.groupActiveState.kind === "removedFromGroup"
    return { kind, removed, data: kind === "application" ? b64(result.message) : undefined }
  }

  async group_info({ without_tree }) {
    const make = without_tree ? mls.createGroupInfoWithExternalPub : mls.createGroupInfoWithExternalPubAndRatchetTree
    // ts-mls puts the bare key into external_pub, which holds an opaque<V>.
    const exportPublicKey = async (key) => encode(varLenDataEncoder)(await this.cs.hpke.exportPublicKey(key))
    const groupInfo = await make(this.state, [], { ...this.cs, hpke: { ...this.cs.hpke, exportPublicKey } })
    return {
      message: message({ wireformat: "mls_group_info", groupInfo }),
      tree: b64(encodeRatchetTree(this.state.ratchetTree)),
    }
  }

  async external_join(request) {
    const { groupInfo } = decode(request.message)
    const { publicPackage, privatePackage } = await this.makeKeyPackage()
    // And takes all of external_pub for the key.
    const importPublicKey = (key) =>
      this.cs.hpke.importPublicKey(key.length > publicPackage.initKey.length ? decodeVarLenData(key, 0)[0] : key)
    const cs = { ...this.cs, hpke: { ...this.cs.hpke, importPublicKey } }
    const { publicMessage, newState } = await mls.joinGroupExternal(
      groupInfo,
      publicPackage,
      privatePackage,
      request.resync,
      cs,
      tree(request.tree),
      this.config,
    )
    this.pending = newState
    return {
      message: message({ wireformat: "mls_public_message", publicMessage }),
      tree: b64(encodeRatchetTree(newState.ratchetTree)),
    }
  }

  async propose_join(request) {
    await this.key_package()
    const { groupInfo } = decode(request.message)
    const { publicPackage, privatePackage } = this.keyPackage
    const proposal = await mls.proposeAddExternal(groupInfo, publicPackage, privatePackage, this.cs)
    return { message: b64(mls.encodeMlsMessage(proposal)) }
  }

  async external_sender() {
    const credential = { credentialType: "basic", identity: this.identity }
    return { sender: b64(mls.encodeExternalSender({ signaturePublicKey: this.signature.publicKey, credential })) }
  }

  async propose_from_outside(request) {
    const { groupInfo } = decode(request.message)
    // external_senders holds a vector of senders. ts-mls takes it for one of them.
    for (const x of groupInfo.groupContext.extensions) {
      if (x.extensionType === "external_senders") x.extensionData = decodeVarLenData(x.extensionData, 0)[0]
    }
    const { publicKey, signKey } = this.signature
    const proposal = this.proposal(request.proposal)
    return { message: b64(mls.encodeMlsMessage(await mls.proposeExternal(groupInfo, proposal, publicKey, signKey, this.cs))) }
  }

  async status({ label, context, length }) {
    const { groupContext, keySchedule, ratchetTree } = this.state
    const members = ratchetTree
      .map((node, i) => ({ node, index: i / 2 }))
      .filter(({ node }) => node?.nodeType === "leaf")
      .map(({ node, index }) => ({ index, identity: b64(node.leaf.credential.identity) }))
    return {
      epoch: Number(groupContext.epoch),
      authenticator: b64(keySchedule.epochAuthenticator),
      exported: b64(await mls.mlsExporter(keySchedule.exporterSecret, label, bytes(context), length, this.cs)),
      members,
    }
  }
}

const extensionName = (type) =>
  Object.keys(mls.defaultExtensionTypes).find((name) => mls.defaultExtensionTypes[name] === type) ?? type

const members = new Map()
let lastMember = 0

async function answer(request) {
  switch (request.op) {
    case "suites":
      return { suites: suiteIDs }
    case "member":
      members.set(++lastMember, await Member.new(request))
      return { member: lastMember }
    case "close":
      members.delete(request.member)
      return
  }
  const member = members.get(request.member)
  if (!member) throw new Error(`no member ${request.member}`)
  if (!operations.has(request.op)) throw new Error(`no operation ${request.op}`)
  return member[request.op](request)
}

const operations = new Set([
  "key_package",
  "psk",
  "create",
  "join",
  "propose",
  "commit",
  "merge",
  "protect",
  "process",
  "group_info",
  "external_join",
  "propose_join",
  "branch",
  "reinitialize",
  "external_sender",
  "propose_from_outside",
  "status",
])

for await (const line of createInterface({ input: process.stdin })) {
  let reply
  try {
    reply = { result: (await answer(JSON.parse(line))) ?? {} }
  } catch (e) {
    reply = { error: `${e.name}: ${e.message}`, stack: e.stack }
  }
  process.stdout.write(JSON.stringify(reply) + "\n")
}
