import type { Socket } from 'node:net'

import { strangerMs, strangersMax } from './tuning.js'

interface Stranger {
  readonly socket: Socket
  readonly since: number
}

/**
 * Connections whose other end has not (yet) proved to be a member. Bounded in number and time; the oldest gives way, so
 * that strangers that hold theirs open keep nobody out.
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
    if (this.#strangers.size >= strangersMax) {
      for (const [oldest, { socket }] of this.#strangers) {
        this.#strangers.delete(oldest)
        socket.destroy()
        break
      }
    }
    this.#strangers.set(key, { socket, since: performance.now() })
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
