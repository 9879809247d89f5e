// ts-mls, to be measured: the operations of ../../internal/ours, in the same groups.
// See ../../README.md for the requests.

import { createInterface } from "node:readline"
import * as mls from "ts-mls"
import { defaultClientConfig } from "ts-mls/clientConfig.js"

const messageSize = 1024

const config = { ...defaultClientConfig, paddingConfig: { kind: "padUntilLength", padUntilLength: 0 } }

const suiteIDs = [1, 2, 3, 4, 5, 6, 7]

const encode = (content) => mls.encodeMlsMessage({ version: "mls10", ...content })

function decode(bytes) {
  const [message, length] = mls.decodeMlsMessage(bytes, 0) ?? []
  if (length !== bytes.length) throw new Error("message does not decode")
  return message
}

// A Member is a client with a signature key, in at most one group. What goes from
// one to another is octets. Handshake messages are PublicMessages, and a Welcome
// has the tree in it.
class Member {
  constructor(cs, signature, name) {
    Object.assign(this, { cs, signature, identity: new TextEncoder().encode(name) })
  }

  static async new(cs, name) {
    return new Member(cs, await cs.signature.keygen(), name)
  }

  async makeKeyPackage() {
    const now = BigInt(Math.floor(Date.now() / 1000))
    const { publicPackage, privatePackage } = await mls.generateKeyPackageWithKey(
      { credentialType: "basic", identity: this.identity },
      { versions: ["mls10"], ciphersuites: suiteIDs.map(String), extensions: [], proposals: [], credentials: ["basic"] },
      { notBefore: now - 3600n, notAfter: now + 86400n },
      [],
      this.signature,
      this.cs,
    )
    return [publicPackage, privatePackage]
  }

  async keyPackage() {
    this.own = await this.makeKeyPackage()
    return encode({ wireformat: "mls_key_package", keyPackage: this.own[0] })
  }

  async create() {
    const groupId = crypto.getRandomValues(new Uint8Array(32))
    this.state = await mls.createGroup(groupId, ...(await this.makeKeyPackage()), [], this.cs, config)
  }

  // add commits key packages, without a path if there are any: ts-mls leaves it out.
  async add(keyPackages) {
    const { commit, welcome, newState } = await mls.createCommit(
      { state: this.state, pskIndex: mls.emptyPskIndex, cipherSuite: this.cs },
      {
        wireAsPublicMessage: true,
        extraProposals: keyPackages.map((k) => ({ proposalType: "add", add: { keyPackage: decode(k).keyPackage } })),
        ratchetTreeExtension: true,
      },
    )
    this.pending = newState
    return {
      message: mls.encodeMlsMessage(commit),
      welcome: welcome && encode({ wireformat: "mls_welcome", welcome }),
    }
  }

  merge() {
    this.state = this.pending
  }

  async join(message) {
    const { welcome } = decode(message)
    this.state = await mls.joinGroup(welcome, ...this.own, mls.emptyPskIndex, this.cs, undefined, undefined, config)
  }

  async protect(data) {
    const { newState, privateMessage } = await mls.createApplicationMessage(this.state, data, this.cs)
    this.state = newState
    return encode({ wireformat: "mls_private_message", privateMessage })
  }

  async process(message) {
    const m = decode(message)
    const { newState } =
      m.wireformat === "mls_private_message"
        ? await mls.processPrivateMessage(this.state, m.privateMessage, mls.emptyPskIndex, this.cs)
        : await mls.processPublicMessage(this.state, m.publicMessage, mls.emptyPskIndex, this.cs)
    this.state = newState
  }
}

// A Clock sums up what measured pieces of work take, in nanoseconds.
class Clock {
  cpu = 0
  wall = 0

  async measure(work) {
    const cpu = process.cpuUsage()
    const start = process.hrtime.bigint()
    const result = await work()
    this.wall += Number(process.hrtime.bigint() - start)
    const { user, system } = process.cpuUsage(cpu)
    this.cpu += (user + system) * 1000
    return result
  }
}

// others makes key packages of new members, and returns them with the last of those.
async function others(cs, count) {
  const keyPackages = []
  let last
  for (let i = 0; i < count; i++) {
    last = await Member.new(cs, `other ${i}`)
    keyPackages.push(await last.keyPackage())
  }
  return [keyPackages, last]
}

async function joinCreated(cs, size) {
  const creator = await Member.new(cs, "member 0")
  await creator.create()
  if (size === 1) return [creator]
  const [keyPackages, last] = await others(cs, size - 1)
  const { welcome } = await creator.add(keyPackages)
  creator.merge()
  return [creator, last, welcome]
}

// A Group is a group as its first and its last member see it: the creator has added
// all others in one commit and made an empty one, and nobody else has ever
// committed.
class Group {
  static async new(suite, size) {
    const g = new Group()
    g.cs = await mls.getCiphersuiteImpl(mls.getCiphersuiteFromName(nameOf(suite)))
    g.before = (await joinCreated(g.cs, size - 1))[0] // has added all but the last
    const [creator, last, welcome] = await joinCreated(g.cs, size)
    await last.join(welcome)
    Object.assign(g, { creator, last })
    await g.process(1, new Clock())
    return g
  }

  async handshake(times, clock) {
    const pairs = []
    for (let i = 0; i < times; i++) {
      pairs.push([await Member.new(this.cs, "initiator"), await Member.new(this.cs, "responder")])
    }
    for (const [initiator, responder] of pairs) {
      await clock.measure(async () => {
        const keyPackage = await initiator.keyPackage()
        await responder.create()
        const { welcome } = await responder.add([keyPackage])
        responder.merge()
        await initiator.join(welcome)
      })
    }
  }

  async create(times, clock) {
    for (let i = 0; i < times; i++) {
      const { message } = await clock.measure(() => this.creator.add([]))
      this.creator.merge()
      await this.last.process(message)
    }
  }

  async process(times, clock) {
    for (let i = 0; i < times; i++) {
      const { message } = await this.creator.add([])
      this.creator.merge()
      await clock.measure(() => this.last.process(message))
    }
  }

  async add(times, clock) {
    const [keyPackages] = await others(this.cs, 1)
    for (let i = 0; i < times; i++) await clock.measure(() => this.before.add(keyPackages))
  }

  async join(times, clock) {
    for (let i = 0; i < times; i++) {
      const [keyPackages, joiner] = await others(this.cs, 1)
      const { welcome } = await this.before.add(keyPackages)
      await clock.measure(() => joiner.join(welcome))
    }
  }

  async protect(times, clock) {
    const data = new Uint8Array(messageSize)
    for (let i = 0; i < times; i++) {
      const message = await clock.measure(() => this.creator.protect(data))
      await this.last.process(message)
    }
  }

  async unprotect(times, clock) {
    const data = new Uint8Array(messageSize)
    for (let i = 0; i < times; i++) {
      const message = await this.creator.protect(data)
      await clock.measure(() => this.last.process(message))
    }
  }
}

const operations = new Set(["handshake", "create", "process", "add", "join", "protect", "unprotect"])

const nameOf = (suite) => Object.keys(mls.ciphersuites).find((name) => mls.ciphersuites[name] === suite)

let group

async function answer(request) {
  switch (request.op) {
    case "suites":
      return { suites: suiteIDs }
    case "group":
      group = undefined
      group = await Group.new(request.suite, request.members)
      return {}
    case "measure": {
      if (!group) throw new Error("no group")
      if (!operations.has(request.operation)) throw new Error(`no operation ${request.operation}`)
      const clock = new Clock()
      await group[request.operation](request.times, clock)
      return { cpu: clock.cpu, wall: clock.wall }
    }
  }
  throw new Error(`no request ${request.op}`)
}

for await (const line of createInterface({ input: process.stdin })) {
  let reply
  try {
    reply = { result: await answer(JSON.parse(line)) }
  } catch (e) {
    reply = { error: e.stack }
  }
  process.stdout.write(JSON.stringify(reply) + "\n")
}
