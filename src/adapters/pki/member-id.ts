import { createHash, createPublicKey, type KeyObject, type X509Certificate } from 'node:crypto'

import type { MemberId } from '../../base/ids.js'

function shortHash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16)
}

/** The member whose key this is; private or public. */
export function memberIdOfKey(key: KeyObject): MemberId {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key
  return shortHash(publicKey.export({ type: 'spki', format: 'der' }))
}

/** The channel whose CA has this certificate. */
export function channelIdOfCa(ca: X509Certificate): string {
  return shortHash(ca.raw)
}

/** The DNS name in a member's certificate, and in the TLS handshake of whoever wants that member. */
export function memberDnsName(member: MemberId, channelId: string): string {
  return `${member}.${channelId}.rkfs`
}

/** The server name (SNI) which chooses a channel's certificate on a port that serves several channels. */
export function channelDnsName(channelId: string): string {
  return `${channelId}.rkfs`
}

/** The channel that a server name stands for; undefined for any other name. */
export function channelIdOfDnsName(name: string | undefined): string | undefined {
  return /^(?:[0-9a-f]{16}\.)?([0-9a-f]{16})\.rkfs$/.exec(name ?? '')?.[1]
}
