/**
 * The notifier: a worker thread that only writes cache invalidations. Such a write waits for kernel locks that a request
 * in flight may hold (FUSE.md §3, deadlock table), therefore no reply may depend on this thread,
 * but a lock's, whose caller holds none of them, and for 100 ms a GETATTR's.
 */
import { writeSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { Notify } from './protocol.js'

export interface NotifierStart {
  readonly fd: number
  /** [0]: notifications handed over and not yet written; [1]: or to be written once more. */
  readonly shared: Int32Array
}

/** Notifications that got ENOENT are written once more after this time: */
const REPEAT_AFTER_MS = 8
/** and no more of them than this wait; the time-to-live covers the rest. */
const REPEATS_MAX = 65536

const { fd, shared } = workerData as NotifierStart
const port = parentPort!
let repeats: Buffer[] = []
/** To be told when the repeats are written. */
let marks: number[] = []
let timer: NodeJS.Timeout | undefined
let closed = false

/** Answers whether the kernel did not know the inode or the name (yet). */
function write(record: Buffer): boolean {
  if (closed) return false
  try {
    writeSync(fd, record)
    return false
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT') return true
    // ENODEV, EPERM: the connection is gone. ENOTDIR, ENOTEMPTY, EBUSY: answers of DELETE and INVAL_ENTRY. EINVAL: an
    // old kernel that does not know the code. ENOTCONN and ECONNABORTED likewise mean the end.
    if (code === 'ENODEV' || code === 'EPERM' || code === 'ENOTCONN' || code === 'ECONNABORTED') closed = true
    else if (code === 'EINVAL') port.postMessage(`notification ${record.readInt32LE(4)}: ${String(error)}`)
    return false
  }
}

/**
 * A reply that was written just before may not have reached the kernel's tables yet (the inode is not hashed until the
 * caller runs), so ENOENT is not final: measured, 25 % stay stale without the second try.
 */
function repeat(): void {
  timer = undefined
  const records = repeats
  repeats = []
  for (const record of records) write(record)
  Atomics.sub(shared, 1, records.length)
  for (const mark of marks) port.postMessage(mark)
  marks = []
}

port.on('message', (batch: ArrayBuffer | number | 'stop') => {
  if (typeof batch === 'number') {
    if (repeats.length > 0) marks.push(batch)
    else port.postMessage(batch)
    return
  }
  if (batch === 'stop') {
    closed = true
    clearTimeout(timer)
    port.close()
    return
  }
  const bytes = Buffer.from(batch)
  let count = 0
  let again = 0
  for (let at = 0; at < bytes.length; count++) {
    const length = bytes.readUInt32LE(at)
    const record = bytes.subarray(at, at + length)
    // of a file that the kernel did not know it asked the size when it came to know it
    const isSize = record.readInt32LE(4) === Notify.STORE
    if (write(record) && !isSize && repeats.length < REPEATS_MAX) {
      repeats.push(record)
      again++
    }
    at += length
  }
  Atomics.sub(shared, 0, count)
  Atomics.sub(shared, 1, count - again)
  if (repeats.length > 0) timer ??= setTimeout(repeat, REPEAT_AFTER_MS)
})
