/**
 * The reader: a worker thread that only blocks in read(2) of /dev/fuse and hands each request to the main thread.
 * It decodes nothing and answers nothing, so that it can neither deadlock nor lose a request.
 */
import { readSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { bulkMemory } from '../host/bulk-memory.js'
import { REQUEST_BYTES_MAX } from './protocol.js'

/** Requests handed over and not yet dispatched: above this many bytes the reader waits, and with it the kernel. */
export const BACKLOG_BYTES_MAX = 64 << 20

export interface ReaderStart {
  readonly fd: number
  /** [0]: bytes handed over and not yet dispatched. [1]: 1 asks the reader to end after the next request. */
  readonly shared: Int32Array
}

/** A request is posted as a bare ArrayBuffer; this is the last message. */
export interface ReaderEnd {
  /** undefined: the file system was unmounted or the connection aborted (ENODEV). */
  readonly error: string | undefined
}

/**
 * A request that fills at least half of the buffer is given away together with it instead of being copied. It is
 * shared memory for the reason given at `bulkMemory`, and counted by both threads, for each
 * of them keeps it until its own collection.
 */
const TRANSFER_BYTES_MIN = REQUEST_BYTES_MAX / 2

function serve({ fd, shared }: ReaderStart): string | undefined {
  const port = parentPort!
  let memory: ArrayBufferLike = bulkMemory(REQUEST_BYTES_MAX)
  let buffer = Buffer.from(memory)
  for (;;) {
    let length: number
    try {
      length = readSync(fd, buffer, 0, REQUEST_BYTES_MAX, null)
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      if (code === 'ENODEV') return undefined
      // ENOENT: the request was interrupted between queue and read. EAGAIN, EINTR: try again.
      if (code === 'ENOENT' || code === 'EINTR' || code === 'EAGAIN') continue
      return String(error)
    }
    if (Atomics.load(shared, 1) === 1) return 'told to stop'
    const whole = length >= TRANSFER_BYTES_MIN
    const size = whole ? REQUEST_BYTES_MAX : length
    let backlog = Atomics.add(shared, 0, size) + size
    if (whole) {
      port.postMessage(memory)
      memory = bulkMemory(REQUEST_BYTES_MAX)
      buffer = Buffer.from(memory)
    } else {
      const message = new ArrayBuffer(length)
      new Uint8Array(message).set(buffer.subarray(0, length))
      port.postMessage(message, [message])
    }
    while (backlog > BACKLOG_BYTES_MAX) {
      Atomics.wait(shared, 0, backlog, 1000)
      backlog = Atomics.load(shared, 0)
    }
  }
}

if (parentPort !== null) {
  const end: ReaderEnd = { error: serve(workerData as ReaderStart) }
  parentPort.postMessage(end)
}
