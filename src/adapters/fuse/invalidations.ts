import { unreachable } from '../../base/assert.js'
import { Fifo } from '../../base/fifo.js'
import type { Invalidation, MountOptions } from '../../channel/mount-port.js'
import { setU64 } from './encode.js'
import type { NotifierResult } from './notifier.js'
import { notifiers } from './notifiers.js'
import { FUSE_MINOR_INC_EPOCH, Notify, OUT_HEADER_BYTES } from './protocol.js'

/** Notifications that wait for the kernel; beyond, all that it has cached is dropped instead. */
const WAITING_MAX = 500_000
/** Notifications in one message to the notifier, of those that are made at once. */
const BATCH_MAX = 4096
/** Smaller messages are joined up to so much, while the one before is written. */
const JOINED_BYTES_MAX = 64 << 10
/** Notifications that got ENOENT are written once more after this time: */
const REPEAT_AFTER_MS = 8
/** and no more of them than this wait; the time-to-live covers the rest. */
const REPEATS_MAX = 65536

/** FUSE_NOTIFY_STORE of one byte. */
const storeBytes = OUT_HEADER_BYTES + 24 + 1

/** How many notifications an item makes. */
function notificationsOf(items: readonly Invalidation[]): number {
  return items.reduce((count, { kind }) => count + (kind === 'size' ? 2 : 1), 0)
}

function recordBytes(item: Invalidation): number {
  switch (item.kind) {
    case 'inode':
      return OUT_HEADER_BYTES + 24
    case 'size':
      return storeBytes + OUT_HEADER_BYTES + 24
    case 'entry':
      return OUT_HEADER_BYTES + 16 + item.name.length + 1
    case 'delete':
      return OUT_HEADER_BYTES + 24 + item.name.length + 1
    default:
      return unreachable(item)
  }
}

/** Notifications one after the other, each as long as its header says: `unique` 0, the code in place of the error. */
export function encodeInvalidations(items: readonly Invalidation[]): ArrayBuffer {
  let total = 0
  for (const item of items) total += recordBytes(item)
  const message = new ArrayBuffer(total)
  const view = new DataView(message)
  const bytes = Buffer.from(message)
  let at = 0
  for (const item of items) {
    const length = recordBytes(item)
    view.setUint32(at, item.kind === 'size' ? storeBytes : length, true)
    encodeInvalidation(view, bytes, at, item)
    at += length
  }
  return message
}

function encodeInvalidation(view: DataView, bytes: Buffer, at: number, item: Invalidation): void {
  const body = at + OUT_HEADER_BYTES
  switch (item.kind) {
    case 'inode': // struct fuse_notify_inval_inode_out
      view.setInt32(at + 4, Notify.INVAL_INODE, true)
      setU64(view, body, item.ino)
      view.setBigInt64(body + 8, BigInt(item.offset), true)
      view.setBigInt64(body + 16, BigInt(item.length), true)
      return
    case 'size':
      // Only STORE makes the kernel take a larger size without asking (fuse_notify_store). What it stores is dropped again.
      view.setInt32(at + 4, Notify.STORE, true) // struct fuse_notify_store_out
      setU64(view, body, item.ino)
      setU64(view, body + 8, item.size - 1)
      view.setUint32(body + 16, 1, true)
      bytes[body + 24] = item.last
      view.setUint32(at + storeBytes, OUT_HEADER_BYTES + 24, true)
      return encodeInvalidation(view, bytes, at + storeBytes, {
        kind: 'inode',
        ino: item.ino,
        offset: item.size - 1,
        length: 1,
      })
    case 'entry': // struct fuse_notify_inval_entry_out
      view.setInt32(at + 4, Notify.INVAL_ENTRY, true)
      setU64(view, body, item.parent)
      view.setUint32(body + 8, item.name.length, true)
      bytes.write(item.name, body + 16, 'latin1')
      return
    case 'delete': // struct fuse_notify_delete_out
      view.setInt32(at + 4, Notify.DELETE, true)
      setU64(view, body, item.parent)
      setU64(view, body + 8, item.child)
      view.setUint32(body + 16, item.name.length, true)
      bytes.write(item.name, body + 24, 'latin1')
      return
    default:
      unreachable(item)
  }
}

/** FUSE_NOTIFY_INC_EPOCH has no body. */
export function encodeIncEpoch(): ArrayBuffer {
  const message = new ArrayBuffer(OUT_HEADER_BYTES)
  const view = new DataView(message)
  view.setUint32(0, OUT_HEADER_BYTES, true)
  view.setInt32(4, Notify.INC_EPOCH, true)
  return message
}

interface Batch {
  readonly bytes: ArrayBuffer
  readonly count: number
  /** They were written before, and the kernel did not know what they are about. */
  readonly isRepeat: boolean
}

/** Who waits for what was handed over before. */
type Mark = () => void

/** The notifications of one mount: what waits for the kernel, in its order; one batch at a time is being written. */
export class Invalidator {
  readonly #fd: number
  readonly #log: MountOptions['log']
  readonly #minor: number
  readonly #opened: ReadonlySet<number>
  readonly #queue = new Fifo<Batch | Mark>()
  /** Handed over and not yet written. */
  #waiting = 0
  #isWriting = false
  #repeats: Uint8Array[] = []
  /** Who waits until those are written. */
  #afterRepeat: Mark[] = []
  #timer: NodeJS.Timeout | undefined
  #isGone = false
  #closing: (() => void) | undefined
  #closed = false
  #overflowed = false
  /** Of what was dropped, the newest size of each file, which a mapping learns in no other way. */
  readonly #sizes = new Map<number, Invalidation>()
  /** Who waits for what was dropped: all that the kernel has cached goes instead. */
  #afterOverflow: Mark[] = []
  #epochWarned = false

  /** `fd`: of the device. `opened`: the inodes whose pages and attributes the kernel may use without looking a name up. */
  constructor(fd: number, minor: number, opened: ReadonlySet<number>, log: MountOptions['log']) {
    this.#fd = fd
    this.#minor = minor
    this.#opened = opened
    this.#log = log
    notifiers.open()
  }

  invalidate(items: readonly Invalidation[]): void {
    if (this.#closed || items.length === 0) return
    if (this.#overflowed) return this.#keepSizes(items)
    // `invalidateAll` itself may hand over one for each open file
    if (this.#waiting + items.length <= WAITING_MAX + this.#opened.size) {
      return this.#post(encodeInvalidations(items), notificationsOf(items))
    }
    this.#log('warn', 'too many cache notifications wait for the kernel: dropped, all that it has cached will be')
    const dropped = (): void => {
      this.#overflowed = false
      this.invalidateAll()
      const sizes = [...this.#sizes.values()]
      this.#sizes.clear()
      if (sizes.length > 0) this.#post(encodeInvalidations(sizes), notificationsOf(sizes))
      const waiting = this.#afterOverflow
      this.#afterOverflow = []
      for (const done of waiting) this.settled(done)
    }
    this.settled(dropped)
    this.#overflowed = true
    this.#keepSizes(items)
  }

  #keepSizes(items: readonly Invalidation[]): void {
    for (const item of items) if (item.kind === 'size') this.#sizes.set(item.ino, item)
  }

  /** Names are made to revalidate, and attributes with them; what is reached without a name goes one by one. */
  invalidateAll(): void {
    if (this.#closed) return
    if (this.#minor >= FUSE_MINOR_INC_EPOCH) this.#post(encodeIncEpoch(), 1)
    else if (!this.#epochWarned) {
      this.#epochWarned = true
      this.#log(
        'warn',
        'this kernel cannot drop all cached names at once (FUSE 7.44 needed): they expire with their time',
      )
    }
    const items = Array.from(this.#opened, (ino): Invalidation => ({ kind: 'inode', ino, offset: 0, length: 0 }))
    for (let at = 0; at < items.length; at += BATCH_MAX) {
      const batch = items.slice(at, at + BATCH_MAX)
      this.#post(encodeInvalidations(batch), batch.length)
    }
  }

  /** Calls back when all that was handed over so far is written, and tried again where the kernel did not know it. */
  settled(done: Mark): void {
    if (this.#overflowed) this.#afterOverflow.push(done)
    else if (this.#closed || (this.#queue.length === 0 && !this.#isWriting && this.#repeats.length === 0)) done()
    else {
      this.#queue.push(done)
      this.#next()
    }
  }

  /** Nothing is written any more; call it when the connection is gone, since only then every blocked write has ended. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = this.#isGone = true
    if (this.#isWriting) await new Promise<void>(resolve => (this.#closing = resolve))
    clearTimeout(this.#timer)
    notifiers.close()
    const marks = [...this.#queue].filter(item => typeof item === 'function')
    this.#queue.clear()
    this.#tellAfterRepeat()
    for (const done of marks) done()
    // one of them may have told these already
    const left = this.#afterOverflow
    this.#afterOverflow = []
    for (const done of left) done()
  }

  #post(bytes: ArrayBuffer, count: number): void {
    this.#queue.push({ bytes, count, isRepeat: false })
    this.#waiting += count
    this.#next()
  }

  #next(): void {
    while (!this.#isWriting && !this.#closed) {
      const { first } = this.#queue
      if (first === undefined) return
      if (typeof first !== 'function') {
        this.#write(this.#takeBatch())
        continue
      }
      this.#queue.shift()
      // what the kernel did not know is tried again first
      if (this.#repeats.length > 0) this.#afterRepeat.push(first)
      else first()
    }
  }

  /** The next batches as one. */
  #takeBatch(): Batch {
    const batches: Batch[] = []
    let bytes = 0
    for (;;) {
      const next = this.#queue.first
      if (next === undefined || typeof next === 'function') break
      if (batches.length > 0 && (next.isRepeat || bytes + next.bytes.byteLength > JOINED_BYTES_MAX)) break
      batches.push(next)
      bytes += next.bytes.byteLength
      this.#queue.shift()
      if (next.isRepeat) break
    }
    const [only] = batches
    if (batches.length === 1) return only!
    const joined = new Uint8Array(bytes)
    let at = 0
    for (const batch of batches) {
      joined.set(new Uint8Array(batch.bytes), at)
      at += batch.bytes.byteLength
    }
    return { bytes: joined.buffer, count: batches.reduce((sum, { count }) => sum + count, 0), isRepeat: false }
  }

  #write({ bytes, count, isRepeat }: Batch): void {
    if (this.#isGone) {
      this.#waiting -= count
      return
    }
    this.#isWriting = true
    notifiers.write({ fd: this.#fd, batch: bytes }, this.#log, result => {
      this.#isWriting = false
      this.#waiting -= count
      if (result === undefined) this.#lost(isRepeat)
      else this.#took(result, bytes, isRepeat)
      this.#closing?.()
      this.#next()
    })
  }

  /** A batch was not written, or not whole: all that the kernel has cached goes instead. */
  #lost(isRepeat: boolean): void {
    this.#log('error', 'cache notifications could not be written: all that the kernel has cached is dropped')
    this.invalidateAll()
    if (isRepeat) this.#tellAfterRepeat()
  }

  #took({ unknown, isGone, problems }: NotifierResult, batch: ArrayBuffer, isRepeat: boolean): void {
    if (isGone) this.#isGone = true
    if (isRepeat || isGone) this.#tellAfterRepeat()
    for (const problem of problems) this.#log('warn', 'the kernel refused a notification', { problem })
    if (isRepeat || this.#isGone) return
    const bytes = Buffer.from(batch)
    for (const at of unknown) {
      // of a file that the kernel did not know it asked the size when it came to know it
      if (bytes.readInt32LE(at + 4) === Notify.STORE || this.#repeats.length >= REPEATS_MAX) continue
      this.#repeats.push(bytes.subarray(at, at + bytes.readUInt32LE(at)))
    }
    if (this.#repeats.length > 0) this.#timer ??= setTimeout(() => this.#repeat(), REPEAT_AFTER_MS).unref()
  }

  #tellAfterRepeat(): void {
    const marks = this.#afterRepeat
    this.#afterRepeat = []
    for (const done of marks) done()
  }

  /**
   * A reply that was written just before may not have reached the kernel's tables yet (the inode is not hashed until the
   * caller runs), so ENOENT is not final: measured, 25 % stay stale without the second try.
   */
  #repeat(): void {
    this.#timer = undefined
    const records = this.#repeats
    this.#repeats = []
    this.#waiting += records.length
    const bytes = new Uint8Array(Buffer.concat(records)).buffer
    this.#queue.pushFirst({ bytes, count: records.length, isRepeat: true })
    this.#next()
  }
}
