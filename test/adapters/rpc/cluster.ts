/** Members of a channel on the loopback, for the tests beside this file. */
import { createPrivateKey } from 'node:crypto'

import {
  createAuthority,
  createSigningRequest,
  issueCertificate,
  type Authority,
} from '../../../src/adapters/pki/authority.js'
import type { NodeKey } from '../../../src/adapters/pki/csp-home.js'
import { memberIdOfKey } from '../../../src/adapters/pki/member-id.js'
import { generateKeyPem } from '../../../src/adapters/pki/web-crypto.js'
import type { ChannelTransport } from '../../../src/adapters/rpc/channel-transport.js'
import { RpcNode, type OpenChannelOptions } from '../../../src/adapters/rpc/rpc-node.js'
import type { PeerMessage } from '../../../src/channel/transport-port.js'

export const day = 86_400_000

export async function makeKey(): Promise<NodeKey> {
  const pem = await generateKeyPem()
  const key = createPrivateKey(pem)
  return { pem, key, memberId: memberIdOfKey(key) }
}

export interface Event {
  readonly kind: 'connected' | 'disconnected' | 'message' | 'problem' | 'second-run' | 'refused-as-second'
  readonly peer: string
  readonly message?: PeerMessage
  readonly reason?: string | undefined
}

/** One node with one channel, and all that its transport said. */
export class Member {
  readonly key: NodeKey
  readonly authority: Authority
  readonly certificatePem: string
  readonly events: Event[] = []
  readonly logs: string[] = []
  onMessage: ((from: string, message: PeerMessage) => void) | undefined
  refused = new Map<string, string>()
  node!: RpcNode
  transport!: ChannelTransport
  address = '127.0.0.1:0'
  options: Partial<OpenChannelOptions> = {}

  constructor(key: NodeKey, authority: Authority, certificatePem: string) {
    this.key = key
    this.authority = authority
    this.certificatePem = certificatePem
  }

  static async make(authority: Authority, name: string, validity?: { now: number; days: number }): Promise<Member> {
    const key = await makeKey()
    const request = await createSigningRequest(key.key, name)
    return new Member(key, authority, await issueCertificate(authority, request, key.memberId, name, validity))
  }

  get id(): string {
    return this.key.memberId
  }

  async start(): Promise<void> {
    this.node = new RpcNode({
      listen: this.address,
      nodeKey: this.key,
      log: (level, message, fields) => this.logs.push(`${level} ${message} ${JSON.stringify(fields)}`),
    })
    this.address = await this.node.start()
    this.transport = this.node.openChannel({
      channelId: this.authority.channelId,
      name: 'demo',
      self: this.id,
      certificatePem: this.certificatePem,
      keyPem: this.key.pem,
      caPem: this.authority.caPem,
      authorize: member => this.refused.get(member),
      events: {
        connected: peer => this.events.push({ kind: 'connected', peer }),
        disconnected: (peer, reason) => this.events.push({ kind: 'disconnected', peer, reason }),
        heard: () => {},
        secondRun: peer => this.events.push({ kind: 'second-run', peer }),
        refusedAsSecond: peer => this.events.push({ kind: 'refused-as-second', peer }),
        message: (peer, message) => {
          if (this.onMessage) this.onMessage(peer, message)
          else this.events.push({ kind: 'message', peer, message })
        },
      },
      onPeerProblem: (peer, reason) => this.events.push({ kind: 'problem', peer, reason }),
      snapshot: async () => undefined,
      ...this.options,
    })
  }

  stop(): Promise<void> {
    return this.node.stop()
  }

  count(kind: Event['kind']): number {
    return this.events.filter(event => event.kind === kind).length
  }
}

/** Started members that know each other. */
export async function cluster(count: number, authority?: Authority): Promise<Member[]> {
  const ca = authority ?? (await createAuthority('demo'))
  const members = await Promise.all(Array.from({ length: count }, (_, i) => Member.make(ca, `node-${i}`)))
  for (const member of members) await member.start()
  introduce(members)
  return members
}

export function introduce(members: readonly Member[]): void {
  const peers = members.map(({ id, address }) => ({ id, address }))
  for (const member of members) member.transport.setPeers(peers)
}

/** Waits for a condition; fails after `seconds`. */
export async function until(what: string, condition: () => boolean, seconds = 20): Promise<void> {
  const end = performance.now() + seconds * 1000
  while (!condition()) {
    if (performance.now() > end) throw new Error(`${what}: not within ${seconds} s`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

export async function allConnected(members: readonly Member[]): Promise<void> {
  await until('all are connected', () =>
    members.every(one => members.every(two => one === two || one.transport.connected(two.id))),
  )
}
