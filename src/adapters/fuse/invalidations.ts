import type { Worker } from 'node:worker_threads'
import { unreachable } from '../../base/assert.js'
import type { Invalidation, MountOptions } from '../../channel/mount-port.js'
import { setU64 } from './encode.js'
import type { NotifierStart } from './notifier.js'
import { FUSE_MINOR_INC_EPOCH, Notify, OUT_HEADER_BYTES } from './protocol.js'
import { startWorker } from './worker-start.js'

/** Notifications that wait for the kernel; beyond, all that it has cached is dropped instead. */
const WAITING_MAX = 500_000
/** Notifications in one message to the notifier. */
const BATCH_MAX = 4096

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

/** The main thread's side of the notifier. */
export class Invalidator {
  readonly #worker: Worker
  readonly #shared = new Int32Array(new SharedArrayBuffer(8))
  readonly #log: MountOptions['log']
  readonly #minor: number
  readonly #opened: ReadonlySet<number>
  readonly #exited: Promise<void>
  /** Who waits for what was handed over before. */
  readonly #marks = new Map<number, () => void>()
  #nextMark = 1
  #closed = false
  #overflowed = false
  /** Of what was dropped, the newest size of each file, which a mapping learns in no other way. */
  readonly #sizes = new Map<number, Invalidation>()
  /** Who waits for what was dropped: all that the kernel has cached goes instead. */
  #afterOverflow: (() => void)[] = []
  #epochWarned = false

  /** `opened`: the inodes whose pages and attributes the kernel may use without looking a name up. */
  constructor(fd: number, minor: number, opened: ReadonlySet<number>, log: MountOptions['log']) {
    this.#minor = minor
    this.#opened = opened
    this.#log = log
    const start: NotifierStart = { fd, shared: this.#shared }
    this.#worker = startWorker('notifier', start)
    this.#worker.on('message', (told: string | number) => {
      if (typeof told === 'number') this.#reached(told)
      else log('warn', 'the kernel refused a notification', { problem: told })
    })
    this.#worker.on('error', error => log('error', 'the notifier thread failed', { error: error.stack }))
    this.#exited = new Promise(resolve => this.#worker.once('exit', () => resolve()))
    void this.#exited.then(() => this.#reached(Infinity))
    // The mount's reader keeps the process alive; this thread alone must not.
    this.#worker.unref()
  }

  invalidate(items: readonly Invalidation[]): void {
    if (this.#closed || items.length === 0) return
    if (this.#overflowed) return this.#keepSizes(items)
    // `invalidateAll` itself may hand over one for each open file
    if (Atomics.load(this.#shared, 0) + items.length <= WAITING_MAX + this.#opened.size) {
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
  settled(done: () => void): void {
    if (this.#overflowed) {
      this.#afterOverflow.push(done)
      return
    }
    if (this.#closed || (this.#marks.size === 0 && Atomics.load(this.#shared, 1) === 0)) return done()
    const mark = this.#nextMark++
    this.#marks.set(mark, done)
    this.#worker.postMessage(mark)
  }

  #reached(mark: number): void {
    for (const [number, done] of this.#marks) {
      if (number > mark) return
      this.#marks.delete(number)
      done()
    }
  }

  /** Ends the thread; call it when the connection is gone, since only then every blocked write has ended. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true
      this.#worker.postMessage('stop')
    }
    await this.#exited
  }

  #post(batch: ArrayBuffer, count: number): void {
    Atomics.add(this.#shared, 0, count)
    Atomics.add(this.#shared, 1, count)
    this.#worker.postMessage(batch, [batch])
  }
}
