import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAddress } from '../adapters/rpc/address.js'
import { writeFileAtomic } from '../adapters/host/atomic-file.js'
import { isMemberId, type MemberId } from '../base/ids.js'
import type { Member } from '../channel/descriptor.js'

/** Where a member is, as somebody said here, while the descriptor has `instead`. */
export interface Redirection {
  readonly address: string
  readonly instead: string
}

/**
 * What `rkfs member address` was told on this machine, kept in `addresses.json` in the channel's folder. One counts until the
 * descriptor has another address for that member than it had then: the members have agreed since.
 */
export class Redirections {
  readonly #path: string
  #all: Map<MemberId, Redirection>

  constructor(folder: string) {
    this.#path = join(folder, 'addresses.json')
    this.#all = new Map(read(this.#path))
  }

  get all(): ReadonlyMap<MemberId, Redirection> {
    return this.#all
  }

  /** Who says the address that the members have already takes back what was said before. */
  set(member: MemberId, redirection: Redirection): void {
    const all = new Map(this.#all)
    if (redirection.address === redirection.instead) all.delete(member)
    else all.set(member, redirection)
    write(this.#path, all)
    this.#all = all
  }

  /** Forgets what is outdated by the addresses that the members have now. Answers whether anything was. */
  prune(members: readonly Pick<Member, 'id' | 'address'>[]): boolean {
    const counts = ([id, { address, instead }]: [MemberId, Redirection]): boolean => {
      const member = members.find(m => m.id === id)
      return member !== undefined && member.address === instead && member.address !== address
    }
    const left = new Map([...this.#all].filter(counts))
    if (left.size === this.#all.size) return false
    this.#all = left
    write(this.#path, left)
    return true
  }
}

function write(path: string, all: ReadonlyMap<MemberId, Redirection>): void {
  writeFileAtomic(path, `${JSON.stringify(Object.fromEntries(all), null, 2)}\n`)
}

/** What cannot be read counts as nothing: it can be said again. */
function read(path: string): [MemberId, Redirection][] {
  try {
    return Object.entries(JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>).flatMap(([id, value]) => {
      const { address, instead } = (value ?? {}) as Record<string, unknown>
      if (!isMemberId(id) || typeof address !== 'string' || typeof instead !== 'string') return []
      parseAddress(address)
      return [[id, { address, instead }] as [MemberId, Redirection]]
    })
  } catch {
    return []
  }
}
