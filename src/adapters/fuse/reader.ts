/**
 * The reader: a worker thread that only waits in poll(2) for requests on the devices of all mounts, reads them, and hands
 * each to the main thread. It decodes nothing and answers nothing, so that it can neither deadlock nor lose a request.
 */
import { readSync } from 'node:fs'
import koffi from 'koffi'
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { bulkMemory } from '../host/bulk-memory.js'
import { REQUEST_BYTES_MAX } from './protocol.js'

/** Requests handed over and not yet dispatched: above this many bytes the reader waits, and with it the kernel. */
export const BACKLOG_BYTES_MAX = 64 << 20

export interface ReaderStart {
  /** An eventfd(2) that is written when a command was sent. */
  readonly wake: number
  /** [0]: bytes handed over and not yet dispatched. */
  readonly shared: Int32Array
}

/** `fd`: a device that does not block. Its requests are posted to `port` as bare buffers, and last a `ReaderEnd`. */
export type ReaderCommand =
  | { readonly kind: 'add'; readonly fd: number; readonly port: MessagePort }
  | { readonly kind: 'remove'; readonly fd: number }
  | { readonly kind: 'stop' }

/** The last message of a mount. */
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
/** struct pollfd: the descriptor, what is asked for, what there is. */
const POLLFD_BYTES = 8
const POLLIN = 1

class Reader {
  readonly #shared: Int32Array
  readonly #wake: number
  readonly #poll: (fds: Buffer, count: number, timeoutMs: number) => number
  readonly #mounts = new Map<number, MessagePort>()
  #memory: SharedArrayBuffer | ArrayBuffer = bulkMemory(REQUEST_BYTES_MAX)
  #buffer = Buffer.from(this.#memory)
  #polled = Buffer.alloc(0)
  #isStopped = false

  constructor({ wake, shared }: ReaderStart) {
    this.#wake = wake
    this.#shared = shared
    const poll = koffi.load('libc.so.6').func('int poll(void *, unsigned long, int)')
    this.#poll = (fds, count, timeoutMs) => poll(fds, count, timeoutMs) as number
    this.#listen()
  }

  run(): void {
    while (!this.#isStopped) {
      // EINTR: nothing is set
      if (this.#poll(this.#polled, this.#polled.length / POLLFD_BYTES, -1) <= 0) continue
      for (let at = POLLFD_BYTES; at < this.#polled.length; at += POLLFD_BYTES) {
        if (this.#polled.readInt16LE(at + 6) !== 0) this.#read(this.#polled.readInt32LE(at))
      }
      if (this.#polled.readInt16LE(6) !== 0) this.#obey()
    }
  }

  #listen(): void {
    const fds = [this.#wake, ...this.#mounts.keys()]
    this.#polled = Buffer.alloc(fds.length * POLLFD_BYTES)
    fds.forEach((fd, n) => {
      this.#polled.writeInt32LE(fd, n * POLLFD_BYTES)
      this.#polled.writeInt16LE(POLLIN, n * POLLFD_BYTES + 4)
    })
  }

  #obey(): void {
    readSync(this.#wake, Buffer.alloc(8))
    for (;;) {
      const received = receiveMessageOnPort(parentPort!) as { message: ReaderCommand } | undefined
      if (received === undefined) break
      const { message } = received
      if (message.kind === 'add') this.#mounts.set(message.fd, message.port)
      else if (message.kind === 'remove') this.#end(message.fd, 'told to stop')
      else this.#isStopped = true
    }
    this.#listen()
  }

  #end(fd: number, error: string | undefined): void {
    const port = this.#mounts.get(fd)
    if (port === undefined) return
    this.#mounts.delete(fd)
    const end: ReaderEnd = { error }
    port.postMessage(end)
    port.close()
    this.#listen()
  }

  #read(fd: number): void {
    let length: number
    try {
      length = readSync(fd, this.#buffer, 0, REQUEST_BYTES_MAX, null)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // ENOENT: the request was interrupted between queue and read. EAGAIN, EINTR: try again.
      if (code === 'ENOENT' || code === 'EINTR' || code === 'EAGAIN') return
      return this.#end(fd, code === 'ENODEV' ? undefined : String(error))
    }
    const isWhole = length >= TRANSFER_BYTES_MIN
    const size = isWhole ? REQUEST_BYTES_MAX : length
    const backlog = Atomics.add(this.#shared, 0, size) + size
    const port = this.#mounts.get(fd)!
    if (isWhole) {
      port.postMessage(this.#memory)
      this.#memory = bulkMemory(REQUEST_BYTES_MAX)
      this.#buffer = Buffer.from(this.#memory)
    } else {
      const message = new ArrayBuffer(length)
      new Uint8Array(message).set(this.#buffer.subarray(0, length))
      port.postMessage(message, [message])
    }
    this.#waitForDispatch(backlog)
  }

  #waitForDispatch(bytes: number): void {
    for (let backlog = bytes; backlog > BACKLOG_BYTES_MAX; backlog = Atomics.load(this.#shared, 0)) {
      Atomics.wait(this.#shared, 0, backlog, 1000)
    }
  }
}

if (parentPort !== null) {
  new Reader(workerData as ReaderStart).run()
  parentPort.close()
}
