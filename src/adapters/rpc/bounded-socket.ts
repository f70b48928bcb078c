import { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'

import { StreamCounter } from './stream-counter.js'
import { strangerBytesMax, strangerStreamsMax } from './tuning.js'

/**
 * What a stranger sends, cut off after so many bytes or streams: they are counted before HTTP/2 sees them, since what costs
 * is what Node makes of each frame (a stream that is opened and reset in the same packet, a thousand times).
 */
export class BoundedSocket extends Duplex {
  readonly #socket: TLSSocket
  readonly #counter = new StreamCounter()
  #bytes = 0

  /** `exceeded` is told once, when the connection is cut for it. */
  constructor(socket: TLSSocket, exceeded: () => void) {
    super()
    this.#socket = socket
    socket.on('data', (bytes: Buffer) => {
      this.#bytes += bytes.length
      if (this.#bytes > strangerBytesMax || this.#counter.push(bytes) > strangerStreamsMax) {
        if (!this.destroyed) exceeded()
        this.destroy()
      } else if (!this.push(bytes)) socket.pause()
    })
    socket.on('end', () => this.push(null))
    socket.on('close', () => this.destroy())
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _write(bytes: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(bytes, encoding, done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(() => done())
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy()
    done(error)
  }
}
