import { ENOENT, ERANGE } from '../../base/errno.js'
import type {
  Attributes,
  Entry,
  FileLock,
  FileSystemStatistics,
  NegativeEntry,
  OpenFile,
} from '../../channel/mount-port.js'
import type { Answer } from './call.js'
import type { Device } from './device.js'
import {
  encodeAttributesOut,
  encodeCount32,
  encodeCount64,
  encodeCreated,
  encodeEntry,
  encodeLock,
  encodeNothing,
  encodeOpen,
  encodeStatistics,
  type BodyEncoder,
} from './encode.js'
import { FOPEN_NOFLUSH } from './protocol.js'

/** How each kind of result is sent. Made once for a mount; only those whose request limits the size are made each time. */
export class Answers {
  readonly done: Answer<void>
  readonly entry: Answer<Entry | NegativeEntry>
  readonly attributes: Answer<{ attributes: Attributes; ttlMs: number }>
  readonly open: Answer<OpenFile>
  readonly opendir: Answer<OpenFile>
  readonly created: Answer<{ entry: Entry; file: OpenFile }>
  readonly text: Answer<string>
  readonly count32: Answer<number>
  readonly count64: Answer<number>
  readonly statistics: Answer<FileSystemStatistics>
  readonly lock: Answer<FileLock>
  readonly #device: Device

  /** `flush`: close(2) is to reach the handler. */
  constructor(device: Device, flush: boolean) {
    const answer =
      <T>(encode: BodyEncoder<T>): Answer<T> =>
      (unique, value) =>
        device.send(unique, encode, value)
    const openFlags = flush ? 0 : FOPEN_NOFLUSH
    this.#device = device
    this.done = answer(encodeNothing)
    this.entry = (unique, entry) => {
      if (entry.attributes === undefined && entry.negativeTtlMs <= 0) device.error(unique, ENOENT)
      else device.send(unique, encodeEntry, entry)
    }
    this.attributes = answer(encodeAttributesOut)
    this.open = answer(encodeOpen(openFlags))
    this.opendir = answer(encodeOpen(0))
    this.created = answer(encodeCreated(openFlags))
    this.text = (unique, text) => device.sendText(unique, text)
    this.count32 = answer(encodeCount32)
    this.count64 = answer(encodeCount64)
    this.statistics = answer(encodeStatistics)
    this.lock = answer(encodeLock)
  }

  /** getxattr(2), listxattr(2): size 0 asks how long the value is; a buffer that is too short is ERANGE. */
  sized(size: number): Answer<Uint8Array> {
    return (unique, value) => {
      if (size === 0) this.#device.send(unique, encodeCount32, value.length)
      else if (value.length > size) this.#device.error(unique, ERANGE)
      else this.#device.sendParts(unique, [value], value.length)
    }
  }
}
