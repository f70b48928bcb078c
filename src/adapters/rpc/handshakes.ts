import type { Socket } from 'node:net'

import { failureCost, handshakeBurst, handshakesPerSecond } from './tuning.js'

const tickMs = 20

/** Connections that wait, by where they come from. */
type Waiting = Map<string, Map<Socket, () => void>>

/**
 * Paces the handshakes of TLS, which cost a signature each, so that strangers cannot take a processor for themselves. A
 * connection that proves to be a member's gives its token back; one that fails at what it asks for costs more. While there
 * is none left, connections wait: each address in turn, and of one address the newest first, whose client has not given up.
 */
export class Handshakes {
  #tokens = handshakeBurst
  #at = performance.now()
  readonly #waiting: Waiting = new Map()
  #timer: NodeJS.Timeout | undefined

  /** Calls back when the connection may begin; never if it is closed before. */
  begin(socket: Socket, begin: () => void): void {
    this.#refill()
    if (this.#tokens >= 1 && this.#waiting.size === 0) {
      this.#tokens--
      return begin()
    }
    const origin = originOf(socket)
    const those = this.#waiting.get(origin) ?? new Map<Socket, () => void>()
    this.#waiting.set(origin, those.set(socket, begin))
    socket.once('close', () => this.#leave(origin, socket))
    this.#timer ??= setInterval(() => this.#serve(), tickMs)
    this.#timer.unref()
  }

  /** It was a member's. */
  giveBack(): void {
    this.#tokens = Math.min(handshakeBurst, this.#tokens + 1)
  }

  /** A stranger asked for what it may not have. */
  failed(): void {
    this.#refill()
    this.#tokens = Math.max(-handshakeBurst, this.#tokens - failureCost)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#waiting.clear()
  }

  #refill(): void {
    const now = performance.now()
    this.#tokens = Math.min(handshakeBurst, this.#tokens + ((now - this.#at) / 1000) * handshakesPerSecond)
    this.#at = now
  }

  #serve(): void {
    this.#refill()
    while (this.#tokens >= 1 && this.#waiting.size > 0) {
      this.#tokens--
      this.#serveOne()
    }
    if (this.#waiting.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #serveOne(): void {
    const [origin, those] = this.#waiting.entries().next().value!
    const [socket, begin] = [...those].at(-1)!
    those.delete(socket)
    // it goes behind the others
    this.#waiting.delete(origin)
    if (those.size > 0) this.#waiting.set(origin, those)
    begin()
  }

  #leave(origin: string, socket: Socket): void {
    const those = this.#waiting.get(origin)
    if (those?.delete(socket) && those.size === 0) this.#waiting.delete(origin)
  }
}

/** Who has one address of IPv6 has 2^64 of them. */
export function originOf({ remoteAddress = '' }: Socket): string {
  if (!remoteAddress.includes(':') || remoteAddress.startsWith('::ffff:')) return remoteAddress
  return remoteAddress.split(':').slice(0, 4).join(':')
}
