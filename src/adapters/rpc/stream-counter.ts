/** "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" (RFC 9113 §3.4). */
const prefaceBytes = 24
/** Length (3), type, flags, stream (4) (RFC 9113 §4.1). */
const frameHeaderBytes = 9
const typeHeaders = 1

/** Counts the streams that a client opens, in the bytes that it sends, before anything is made of them. */
export class StreamCounter {
  #skip = prefaceBytes
  #header: number[] = []
  #count = 0

  /** Takes the next bytes; answers the HEADERS frames in all that came. */
  push(bytes: Uint8Array): number {
    let at = 0
    while (at < bytes.length) {
      const skipped = Math.min(this.#skip, bytes.length - at)
      this.#skip -= skipped
      at += skipped
      if (at === bytes.length) break
      this.#header.push(bytes[at++]!)
      if (this.#header.length < frameHeaderBytes) continue
      const [high, middle, low, type] = this.#header as [number, number, number, number]
      if (type === typeHeaders) this.#count++
      this.#skip = (high << 16) | (middle << 8) | low
      this.#header = []
    }
    return this.#count
  }
}
