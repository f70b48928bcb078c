import { assert } from './assert.js'

export interface RateWindowOptions {
  /** Bytes that may be under way before anything is known, and again after `idleMs`. */
  readonly initialBytes: number
  readonly minBytes: number
  readonly maxBytes: number
  /** How long a byte may take beyond what one takes when nothing is before it. */
  readonly targetMs: number
  /** What was shown so long ago counts no more. */
  readonly idleMs: number
}

/** Bytes under way, from `begin` to `end`. */
export interface UnderWay {
  readonly at: number
  readonly bytes: number
  /** What had arrived of all before, when they set out. */
  readonly arrived: number
  /** Bytes that were under way before them. */
  readonly before: number
}

/** The shortest delay is measured anew when none as short was seen for so many milliseconds: a way may change. */
const spanMs = 10_000
const drainMsMax = 2000
/** Who shares a way is in use as long as it was so long ago. */
const sharedMs = 1000
/** Who has less of a shared way than others may have so much more than it has shown. */
const gainShare = 1.5
/** A delay so near the shortest one was measured with nothing before it. */
const nearShare = 1.25
const nearMs = 5

/** Windows whose ways may be one and the same, as all links of a machine are one cable: none takes it from the others. */
export class SharedWay {
  readonly #windows = new Set<RateWindow>()

  add(window: RateWindow): void {
    this.#windows.add(window)
  }

  delete(window: RateWindow): void {
    this.#windows.delete(window)
  }

  /**
   * The share of one in what those that are in use carry, in bytes per millisecond: by what waits for it. So who is behind
   * catches up, and two that are sent the same have it at about the same time.
   */
  share(of: RateWindow, nowMs: number): number {
    let rate = 0
    let load = 0
    for (const window of this.#windows) {
      if (window !== of && nowMs - window.usedAt > sharedMs) continue
      rate += window.rate
      load += window.load
    }
    return (rate * of.load) / load
  }
}

/**
 * How many bytes may be under way to where they are acknowledged: as many as arrived there within `targetMs`, beyond the
 * delay of a way without a queue. So whatever sets out next waits about so long at most, however thin the way is.
 *
 * It grows by what arrives while that is fast (TCP's slow start), and falls to what arrived per time when it is not, in
 * the manner of BBR and LEDBAT (RFC 6817). Where bytes are always under way the shortest delay is measured anew now and
 * then with the window closed, or each measure would take the queue of the last one for a part of the way.
 */
export class RateWindow {
  readonly #options: RateWindowOptions
  #bytes: number
  #underWay = 0
  #arrived = 0
  #usedAt = -Infinity
  #rate = 0
  #isLimited = false
  /** Bytes that wait to set out. */
  waiting = 0
  #shortest = Infinity
  #span = { at: -Infinity, shortest: Infinity }
  /** The window is closed until what sets out now has arrived. */
  #drain: { readonly from: number; readonly until: number } | undefined

  readonly #way: SharedWay | undefined

  constructor(options: RateWindowOptions, way?: SharedWay) {
    this.#options = options
    this.#way = way
    way?.add(this)
    this.#bytes = options.initialBytes
  }

  /** Bytes that may be under way; a whole number. */
  get bytes(): number {
    return Math.floor(this.#bytes)
  }
  /** Whether more than that has shown to queue up. */
  get isLimited(): boolean {
    return this.#isLimited
  }
  /** When at least half of it was last in use. */
  get usedAt(): number {
    return this.#usedAt
  }
  /** Bytes per millisecond that arrived of late. */
  get rate(): number {
    return this.#rate
  }
  /** Bytes that wait or are under way, and some more, so that nobody has no share. */
  get load(): number {
    return this.waiting + this.#underWay + this.#options.minBytes
  }
  get underWay(): number {
    return this.#underWay
  }

  /** Whether more may set out; one that is longer than the window may when nothing is under way. */
  hasRoom(nowMs: number): boolean {
    if (this.#underWay === 0) return true
    const isDraining = this.#drain !== undefined && nowMs < this.#drain.until
    return this.#underWay < (isDraining ? this.#options.minBytes : this.#bytes)
  }

  begin(bytes: number, nowMs: number): UnderWay {
    const { idleMs, initialBytes } = this.#options
    if (nowMs - this.#usedAt > idleMs && this.#bytes > initialBytes) {
      this.#bytes = initialBytes
      this.#isLimited = false
    }
    const before = this.#underWay
    this.#underWay += bytes
    if (this.#isInUse(this.#underWay)) this.#usedAt = nowMs
    return { at: nowMs, bytes, arrived: this.#arrived, before }
  }

  /** They have arrived. */
  end(sent: UnderWay, nowMs: number): void {
    this.drop(sent)
    this.#arrived += sent.bytes
    const delay = Math.max(nowMs - sent.at, 0.01)
    const shortest = this.#measure(sent, delay, nowMs)
    const { targetMs, minBytes, maxBytes, initialBytes } = this.#options
    const isInUse = this.#isInUse(sent.before + sent.bytes)
    this.#rate = (this.#arrived - sent.arrived) / delay
    if (!isInUse) {
      // few bytes that took long say little of how many could have
      if (delay - shortest > targetMs) this.#bytes = Math.min(this.#bytes, initialBytes)
    } else if (delay - shortest < targetMs / 2) {
      this.#bytes = Math.min(maxBytes, this.#bytes + sent.bytes)
      this.#isLimited = false
    } else {
      this.#isLimited = true
      const queued = Math.min(gainShare * this.#rate, this.#way?.share(this, nowMs) ?? this.#rate)
      const shown = Math.min(maxBytes, Math.max(minBytes, this.#rate * shortest + queued * targetMs))
      // at once to less, by and by to more
      this.#bytes = delay - shortest > targetMs && shown < this.#bytes ? shown : this.#bytes + (shown - this.#bytes) / 8
    }
  }

  /** They are under way no more, and nobody knows how long they took. */
  drop({ bytes }: UnderWay): void {
    this.#underWay -= bytes
    assert(this.#underWay >= 0, 'what is under way has set out')
  }

  #isInUse(underWay: number): boolean {
    return underWay >= this.#bytes / 2
  }

  /** The delay of a way without a queue, as far as it is known. */
  #measure({ at, before }: UnderWay, delay: number, nowMs: number): number {
    const span = this.#span
    if (this.#drain !== undefined && at >= this.#drain.from && before <= this.#options.minBytes) {
      this.#shortest = delay
      this.#drain = undefined
      this.#span = { at: nowMs, shortest: delay }
    } else if (nowMs - span.at > spanMs) {
      const isOld = span.shortest !== Infinity && span.shortest > this.#shortest * nearShare + nearMs
      if (isOld) this.#drain = { from: nowMs, until: nowMs + drainMsMax }
      this.#span = { at: nowMs, shortest: delay }
    } else span.shortest = Math.min(span.shortest, delay)
    this.#shortest = Math.min(this.#shortest, delay)
    return this.#shortest
  }
}
