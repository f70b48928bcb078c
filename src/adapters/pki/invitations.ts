import { randomBytes } from 'node:crypto'
import { join } from 'node:path'

import { RkfsError } from '../../base/errors.js'
import { isMemberId, type MemberId } from '../../base/ids.js'
import { readPrivate, replaceFile } from './private-file.js'
import { hashOfSecret } from './token.js'

interface Invitation {
  /** SHA-256 of the secret; the secret itself is never stored. */
  readonly hash: string
  /** Unix time in seconds. */
  readonly expires: number
  /** Who redeemed it. The same member may do so again: the owner may have died before it was admitted. */
  readonly redeemedBy?: MemberId
  /** Its member was removed: it cannot be used to come back. */
  readonly revoked?: boolean
}

export type Redemption = { readonly ok: true } | { readonly ok: false; readonly reason: string }

const invitationsMax = 1000
/** Kept so long after they expire, so that "expired" and "used" can still be told from "unknown". */
const rememberedSeconds = 30 * 86_400
const formatVersion = 1

/** The one-time secrets that an owner has handed out, in `invitations.json` of the channel's folder, mode 0600. */
export class Invitations {
  readonly #path: string
  readonly #now: () => number
  #list: readonly Invitation[]
  #last: Promise<unknown> = Promise.resolve()

  private constructor(path: string, list: readonly Invitation[], now: () => number) {
    this.#path = path
    this.#list = list
    this.#now = now
  }

  /** Reads the channel's file, if there is one. `now` tells the Unix time in seconds. Throws `corrupt`, `refused`. */
  static async open(folder: string, now: () => number = () => Math.floor(Date.now() / 1000)): Promise<Invitations> {
    const path = join(folder, 'invitations.json')
    const text = await readPrivate(path)
    return new Invitations(path, text === undefined ? [] : parse(text, path), now)
  }

  /** A new secret of 16 bytes, valid for `seconds`; on stable storage when it returns. Throws `busy` beyond 1000. */
  issue(seconds: number): Promise<{ secret: Uint8Array; expires: number }> {
    return this.#alone(async () => {
      const now = this.#now()
      if (this.#list.filter(known => known.expires > now && !known.redeemedBy).length >= invitationsMax) {
        throw new RkfsError('busy', `${invitationsMax} invitations are outstanding: wait until some expire`)
      }
      const secret = new Uint8Array(randomBytes(16))
      const expires = now + Math.ceil(seconds)
      await this.#save([...this.#list, { hash: hashOfSecret(secret), expires }])
      return { secret, expires }
    })
  }

  /** Whether somebody may redeem a secret. A lookup, before anything that costs more. */
  check(secret: Uint8Array): Redemption {
    return this.#judge(this.#find(secret), undefined)
  }

  /** Spends a secret for one member; on stable storage before it says yes. */
  redeem(secret: Uint8Array, member: MemberId): Promise<Redemption> {
    return this.#alone(async () => {
      const known = this.#find(secret)
      const redemption = this.#judge(known, member)
      if (!redemption.ok || known?.redeemedBy) return redemption
      await this.#save(this.#list.map(each => (each === known ? { ...each, redeemedBy: member } : each)))
      return redemption
    })
  }

  #find(secret: Uint8Array): Invitation | undefined {
    const hash = hashOfSecret(secret)
    return this.#list.find(invitation => invitation.hash === hash)
  }

  /** `member` undefined: it is not known yet who asks. */
  #judge(known: Invitation | undefined, member: MemberId | undefined): Redemption {
    const refused = (why: string): Redemption => ({ ok: false, reason: `${why}: ask the owner for another` })
    if (!known) return refused('the token is unknown here')
    if (known.revoked) return refused('the member that used this token was removed')
    if (member !== undefined && known.redeemedBy && known.redeemedBy !== member) {
      return refused('the token was used already')
    }
    if (known.expires > this.#now()) return { ok: true }
    return refused(`the token expired on ${new Date(known.expires * 1000).toISOString().replace('.000Z', 'Z')}`)
  }

  /** Before a member is removed: what it once redeemed will not let it in again. */
  revoke(member: MemberId): Promise<void> {
    return this.#alone(async () => {
      if (!this.#list.some(each => each.redeemedBy === member && !each.revoked)) return
      await this.#save(this.#list.map(each => (each.redeemedBy === member ? { ...each, revoked: true } : each)))
    })
  }

  /** One change at a time, so that none is lost and a secret is not spent twice. */
  #alone<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#last.then(change)
    this.#last = result.catch(() => undefined)
    return result
  }

  async #save(list: readonly Invitation[]): Promise<void> {
    const now = this.#now()
    const kept = list.filter(each => each.expires + rememberedSeconds > now).slice(-2 * invitationsMax)
    await replaceFile(this.#path, `${JSON.stringify({ version: formatVersion, invitations: kept }, undefined, 2)}\n`)
    this.#list = kept
  }
}

function parse(text: string, path: string): Invitation[] {
  const bad = (cause?: unknown): never => {
    throw new RkfsError('corrupt', `${path} is damaged: move it away; tokens that are out become void`, { cause })
  }
  let file: { version?: unknown; invitations?: unknown } | null
  try {
    file = JSON.parse(text) as typeof file
  } catch (cause) {
    return bad(cause)
  }
  if (typeof file?.version === 'number' && file.version > formatVersion) {
    throw new RkfsError('version', `${path} was written by a newer rkfs (format ${file.version}): upgrade this one`)
  }
  if (file?.version !== formatVersion || !Array.isArray(file.invitations)) return bad()
  for (const each of file.invitations as Partial<Invitation>[]) {
    const proper =
      /^[0-9a-f]{64}$/.test(String(each?.hash)) &&
      Number.isSafeInteger(each.expires) &&
      (each.redeemedBy === undefined || isMemberId(String(each.redeemedBy)))
    if (!proper) bad()
  }
  return file.invitations as Invitation[]
}
