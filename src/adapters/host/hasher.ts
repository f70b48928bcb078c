import { createHash, hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { Hasher } from '../../base/hash.js'

/** So many bytes are put together and hashed in one call: a hash that is fed part by part costs more than their copy. */
const copiedMax = 4096

/** The platform's hash functions for the pure layers. A worker imports it: no function can be handed over to one. */
export const nodeHasher: Hasher = {
  sha256(...parts: Uint8Array[]): Uint8Array {
    if (parts.length === 1) return hash('sha256', parts[0]!, 'buffer')
    if (parts.reduce((sum, { length }) => sum + length, 0) <= copiedMax) {
      return hash('sha256', Buffer.concat(parts), 'buffer')
    }
    const all = createHash('sha256')
    for (const part of parts) all.update(part)
    return all.digest()
  },
  crc32: (bytes, seed) => crc32(bytes, seed),
}
