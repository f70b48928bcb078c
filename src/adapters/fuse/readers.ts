import { closeSync, writeSync } from 'node:fs'
import { MessageChannel, type MessagePort, type Worker } from 'node:worker_threads'
import { messageOf, RkfsError } from '../../base/errors.js'
import type { ReaderCommand, ReaderEnd, ReaderStart } from './reader.js'
import { startWorker } from './worker-start.js'

const EFD_CLOEXEC_NONBLOCK = 0o2004000
const F_GETFL = 3
const F_SETFL = 4
const O_NONBLOCK = 0o4000

export type ReaderMessage = ArrayBufferLike | ReaderEnd

interface Running {
  readonly worker: Worker
  readonly wake: number
  readonly shared: Int32Array
  /** By descriptor; who gets their requests. */
  readonly mounts: Map<number, (message: ReaderMessage) => void>
}

/** The main thread's side of the reader: one thread for all mounts of this process, as long as there are any. */
class Readers {
  #running: Promise<Running> | undefined

  /** Throws where there can be none: before anything is mounted. */
  async ready(): Promise<void> {
    await this.#run()
  }

  #run(): Promise<Running> {
    if (this.#running === undefined) {
      const running = this.#start()
      this.#running = running
      // what stood in its way may be gone the next time
      running.catch(() => {
        if (this.#running === running) this.#running = undefined
      })
    }
    return this.#running
  }

  /** Has the requests of a device read: `received` gets each of them, and last a `ReaderEnd`. */
  async add(fd: number, received: (message: ReaderMessage) => void): Promise<void> {
    const { default: koffi } = await import('koffi')
    const fcntl = koffi.load('libc.so.6').func('int fcntl(int, int, int)')
    if (fcntl(fd, F_SETFL, (fcntl(fd, F_GETFL, 0) as number) | O_NONBLOCK) !== 0) {
      throw new RkfsError('failed', 'the device of a mount cannot be made one that does not block')
    }
    const running = await this.#run()
    const { port1, port2 } = new MessageChannel()
    running.mounts.set(fd, received)
    port1.on('message', (message: ReaderMessage) => {
      if (message instanceof ArrayBuffer || message instanceof SharedArrayBuffer) {
        Atomics.sub(running.shared, 0, message.byteLength)
        Atomics.notify(running.shared, 0)
        return received(message)
      }
      port1.close()
      this.#ended(running, fd, message)
    })
    send(running, { kind: 'add', fd, port: port2 }, [port2])
  }

  /** Requests of a device are read no more; its `ReaderEnd` comes. */
  remove(fd: number): void {
    this.#running?.then(
      running => send(running, { kind: 'remove', fd }),
      () => undefined, // then it reads none
    )
  }

  #ended(running: Running, fd: number, end: ReaderEnd): void {
    const received = running.mounts.get(fd)
    running.mounts.delete(fd)
    if (running.mounts.size === 0 && this.#running !== undefined) {
      this.#running = undefined
      send(running, { kind: 'stop' })
    }
    received?.(end)
  }

  async #start(): Promise<Running> {
    const { default: koffi } = await import('koffi')
    const eventfd = koffi.load('libc.so.6').func('int eventfd(unsigned int, int)')
    const wake = eventfd(0, EFD_CLOEXEC_NONBLOCK) as number
    if (wake < 0) throw new RkfsError('failed', 'eventfd(2) failed')
    const shared = new Int32Array(new SharedArrayBuffer(4))
    const start: ReaderStart = { wake, shared }
    let worker: Worker
    try {
      worker = startWorker('reader', start)
    } catch (error) {
      closeSync(wake)
      throw new RkfsError('failed', `the thread that reads requests cannot be started: ${messageOf(error)}`)
    }
    const running: Running = { worker, wake, shared, mounts: new Map() }
    let failure = 'the reader thread ended'
    worker.on('error', error => (failure = error.stack ?? error.message))
    worker.on('exit', () => {
      closeSync(wake)
      if (running.mounts.size === 0) return
      this.#running = undefined
      for (const fd of running.mounts.keys()) this.#ended(running, fd, { error: failure })
    })
    return running
  }
}

function send({ worker, wake }: Running, command: ReaderCommand, transfer: MessagePort[] = []): void {
  worker.postMessage(command, transfer)
  const one = Buffer.alloc(8)
  one.writeBigUInt64LE(1n)
  writeSync(wake, one)
}

export const readers = new Readers()
