import { toHex } from '../../../src/base/bytes.js'
import type { MemberId } from '../../../src/base/ids.js'
import type { LogRecord } from '../../../src/channel/log-port.js'
import { hashOfEncoded } from '../../../src/oplog/codec.js'
import { check } from './violation.js'

/** Log matching (Raft §5.3): an index and a term name one entry, and with it, by the hash chain, all before it. */
export class LogMatching {
  readonly #entries = new Map<string, string>()

  get entries(): number {
    return this.#entries.size
  }

  written(member: MemberId, records: readonly LogRecord[]): void {
    for (const { index, term, header } of records) {
      const key = `${index}/${term}`
      const hash = toHex(hashOfEncoded(header))
      const known = this.#entries.get(key)
      if (known === undefined) this.#entries.set(key, hash)
      else check('log-matching', known === hash, () => `${member} writes another entry ${index} of term ${term}`)
    }
  }
}
