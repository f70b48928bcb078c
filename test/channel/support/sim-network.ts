import type { MemberId } from '../../../src/base/ids.js'
import type { Rng } from '../../../src/base/rng.js'
import type { PeerMessage, TransportEvents } from '../../../src/channel/transport-port.js'
import { Egress, ThinLink } from './thin-link.js'

export interface SimClock {
  readonly now: number
  after(ms: number, task: () => void): void
}

interface Link {
  up: boolean
  /** Nothing comes through, and neither side has noticed yet. */
  silent: boolean
  /** Nothing that these ends send comes through. */
  readonly muted: Set<MemberId>
  /** Bytes and messages under way. */
  bytes: number
  messages: number
  /** Grows when the connection breaks: what was under way is lost. */
  generation: number
  lastDue: number
  /** What each end sends, where its machine's link was made thin. */
  readonly thin: Map<MemberId, ThinLink>
}

/** As good as no bound. */
const wideBytesPerMs = 1e6

/** Connections between members: ordered, lossless until they break (`transport-port.ts`), and under the test's thumb. */
export class SimNetwork {
  delayMsMax = 3
  /** Decides whether a message is lost; the connection breaks with it. */
  lose: ((from: MemberId, to: MemberId, message: PeerMessage) => boolean) | undefined
  /** Who cannot reach each other: no connection comes about until this says otherwise. */
  blocked: ((a: MemberId, b: MemberId) => boolean) | undefined
  /** What was under way between two members at once, at most. */
  bytesMax = 0
  messagesMax = 0
  readonly sent = new Map<string, number>()
  readonly #clock: SimClock
  readonly #rng: Rng
  readonly #links = new Map<string, Link>()
  readonly #ends = new Map<MemberId, TransportEvents>()
  readonly #egress = new Map<MemberId, Egress>()

  constructor(clock: SimClock, rng: Rng) {
    this.#clock = clock
    this.#rng = rng
  }

  #link(a: MemberId, b: MemberId): Link {
    const key = a < b ? `${a}-${b}` : `${b}-${a}`
    let link = this.#links.get(key)
    if (link === undefined) this.#links.set(key, (link = newLink()))
    return link
  }

  /** What is under way is lost. */
  #cut(link: Link): void {
    link.generation++
    for (const thin of link.thin.values()) thin.close()
    link.thin.clear()
  }

  attach(member: MemberId, events: TransportEvents): void {
    this.#ends.set(member, events)
  }

  /** The process is gone: the others notice at once (a reset) unless the link is silent. */
  detach(member: MemberId): void {
    this.#ends.delete(member)
    for (const other of this.#ends.keys()) this.break(member, other)
  }

  /** As the members believe. */
  isConnected(a: MemberId, b: MemberId): boolean {
    return this.#link(a, b).up
  }

  isUp(a: MemberId, b: MemberId): boolean {
    const link = this.#link(a, b)
    return link.up && !link.silent
  }

  connect(a: MemberId, b: MemberId): void {
    const link = this.#link(a, b)
    if (link.up && !link.silent) return
    if (link.up) this.break(a, b)
    if (!this.#ends.has(a) || !this.#ends.has(b) || this.blocked?.(a, b)) return
    link.up = true
    link.silent = false
    link.muted.clear()
    link.bytes = link.messages = 0
    this.#cut(link)
    link.lastDue = 0
    this.#ends.get(a)!.connected(b)
    this.#ends.get(b)!.connected(a)
  }

  break(a: MemberId, b: MemberId): void {
    const link = this.#link(a, b)
    if (!link.up) return
    link.up = link.silent = false
    link.muted.clear()
    this.#cut(link)
    this.#ends.get(a)?.disconnected(b, 'simulated')
    this.#ends.get(b)?.disconnected(a, 'simulated')
  }

  /** Messages vanish from now on; the connection breaks after `ms`, as with a pulled cable. */
  silence(a: MemberId, b: MemberId, ms: number): void {
    const link = this.#link(a, b)
    if (!link.up || link.silent) return
    link.silent = true
    this.#cut(link)
    const { generation } = link
    this.#clock.after(ms, () => {
      if (link.generation === generation) this.break(a, b)
    })
  }

  /** As `silence`, for what one end sends: the other one is still heard. */
  mute(from: MemberId, to: MemberId, ms: number): void {
    const link = this.#link(from, to)
    if (!link.up || link.silent) return
    link.muted.add(from)
    const { generation } = link
    this.#clock.after(ms, () => {
      if (link.generation === generation) this.break(from, to)
    })
  }

  connectAll(): void {
    const ends = [...this.#ends.keys()]
    for (const a of ends) for (const b of ends) if (a < b) this.connect(a, b)
  }

  /** Cuts a member off from all others. */
  isolate(member: MemberId, silentMs = 0): void {
    for (const other of this.#ends.keys()) {
      if (other === member) continue
      if (silentMs > 0) this.silence(member, other, silentMs)
      else this.break(member, other)
    }
  }

  /** From now on a member's machine sends so many bytes per second, to all others together; undefined: as many as it likes. */
  narrow(member: MemberId, bytesPerSecond: number | undefined): void {
    const bytesPerMs = bytesPerSecond === undefined ? wideBytesPerMs : bytesPerSecond / 1000
    const egress = this.#egress.get(member)
    if (egress !== undefined) egress.bytesPerMs = bytesPerMs
    else if (bytesPerSecond !== undefined) this.#egress.set(member, new Egress(bytesPerMs))
  }

  windowBytes(from: MemberId, to: MemberId): number {
    return this.#link(from, to).thin.get(from)?.windowBytes ?? Infinity
  }

  isThin(from: MemberId, to: MemberId): boolean {
    return this.#link(from, to).thin.get(from)?.isThin ?? false
  }

  /** Bytes that wait, or are under way, from one member to another over a thin link. */
  queuedBytes(from: MemberId, to: MemberId): number {
    return this.#link(from, to).thin.get(from)?.bytes ?? 0
  }

  #sendThin(link: Link, egress: Egress, from: MemberId, to: MemberId, message: PeerMessage): void {
    let thin = link.thin.get(from)
    if (thin === undefined) {
      const { generation } = link
      const delayMs = (): number => 1 + this.#rng.below(this.delayMsMax)
      const taken = (): void => this.#ends.get(from)?.heard(to)
      thin = new ThinLink(this.#clock, egress, link.lastDue, delayMs, taken, arrived => {
        if (link.generation !== generation || link.silent) return
        if (arrived === undefined) this.#ends.get(to)?.heard(from)
        else this.#ends.get(to)?.message(from, arrived)
      })
      link.thin.set(from, thin)
    }
    thin.send(message, bytesOf(message))
  }

  send(from: MemberId, to: MemberId, message: PeerMessage): boolean {
    const link = this.#link(from, to)
    if (!link.up || !this.#ends.has(from)) return false
    this.sent.set(message.kind, (this.sent.get(message.kind) ?? 0) + 1)
    if (link.silent || link.muted.has(from)) return true
    if (this.lose?.(from, to, message)) {
      this.#clock.after(0, () => this.break(from, to))
      link.silent = true
      return true
    }
    const egress = this.#egress.get(from)
    if (egress !== undefined) {
      this.#sendThin(link, egress, from, to, message)
      return true
    }
    const { generation } = link
    link.lastDue = Math.max(link.lastDue, this.#clock.now + 1 + this.#rng.below(this.delayMsMax))
    const bytes = bytesOf(message)
    link.bytes += bytes
    link.messages++
    this.bytesMax = Math.max(this.bytesMax, link.bytes)
    this.messagesMax = Math.max(this.messagesMax, link.messages)
    this.#clock.after(link.lastDue - this.#clock.now, () => {
      if (link.generation !== generation || link.silent) return
      link.bytes -= bytes
      link.messages--
      this.#ends.get(to)?.message(from, message)
    })
    return true
  }
}

function newLink(): Link {
  return {
    up: false,
    silent: false,
    muted: new Set(),
    bytes: 0,
    messages: 0,
    generation: 0,
    lastDue: 0,
    thin: new Map(),
  }
}

/** Payload bytes of a message, which are nearly all of it where it is large. */
function bytesOf(message: PeerMessage): number {
  if (message.kind === 'propose') {
    let bytes = 0
    for (const { operation, payload } of message.proposals) bytes += operation.length + payload.length
    return bytes
  }
  if (message.kind !== 'raft' || message.message.kind !== 'append') return 0
  let bytes = 0
  for (const { data } of message.message.entries) bytes += data.header.length + data.payload.length
  return bytes
}
