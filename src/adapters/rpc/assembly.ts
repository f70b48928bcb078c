import { malformed } from '../../base/bytes.js'
import { messageBytesMax } from '../../base/limits.js'
import type { Lane } from '../../channel/lanes.js'
import type { FrameMessage } from './frame-codec.js'

type Part = Extract<FrameMessage, { kind: 'part' }>

/** Frames that come in parts, one in each lane at a time. */
export class Assembly {
  readonly #parts = new Map<Lane, { data: Uint8Array[]; bytes: number }>()

  /** The frame, with its last part. Throws `corrupt` when it grows too long. */
  take({ lane, last, data }: Part): Uint8Array | undefined {
    const begun = this.#parts.get(lane) ?? { data: [], bytes: 0 }
    begun.data.push(data)
    begun.bytes += data.length
    if (begun.bytes > messageBytesMax) throw malformed(`frame: its parts are ${begun.bytes} bytes, which are too many`)
    // a frame of parts without bytes would never end
    if (data.length === 0) throw malformed('frame: a part without bytes')
    if (!last) {
      this.#parts.set(lane, begun)
      return undefined
    }
    this.#parts.delete(lane)
    return Buffer.concat(begun.data, begun.bytes)
  }
}
