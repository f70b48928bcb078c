import type { Socket } from 'node:net'

import { originOf } from './handshakes.js'
import { strangerMs, strangersMax } from './tuning.js'

interface Stranger {
  readonly socket: Socket
  readonly origin: string
  readonly since: number
}

/**
 * Connections whose other end has not (yet) proved to be a member. Bounded in number and time; the oldest of the address
 * that has the most gives way, so that strangers that hold theirs open keep nobody out.
 */
export class Strangers {
  readonly #strangers = new Map<string, Stranger>()
  readonly #timer: NodeJS.Timeout

  constructor() {
    this.#timer = setInterval(() => this.#expire(), 5000)
    this.#timer.unref()
  }

  get size(): number {
    return this.#strangers.size
  }

  add(key: string, socket: Socket): void {
    if (this.#strangers.size >= strangersMax) this.#makeRoom()
    this.#strangers.set(key, { socket, origin: originOf(socket), since: performance.now() })
  }

  #makeRoom(): void {
    const counts = new Map<string, number>()
    for (const { origin } of this.#strangers.values()) counts.set(origin, (counts.get(origin) ?? 0) + 1)
    const most = Math.max(...counts.values())
    for (const [oldest, { socket, origin }] of this.#strangers) {
      if (counts.get(origin) !== most) continue
      this.#strangers.delete(oldest)
      return void socket.destroy()
    }
  }

  /** It proved to be a member, or it is gone. */
  remove(key: string, socket?: Socket): void {
    if (socket && this.#strangers.get(key)?.socket !== socket) return
    this.#strangers.delete(key)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#strangers.clear()
  }

  #expire(): void {
    const limit = performance.now() - strangerMs
    for (const { socket, since } of this.#strangers.values()) if (since < limit) socket.destroy()
  }
}
