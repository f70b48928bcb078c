import type { Worker } from 'node:worker_threads'
import { messageOf } from '../../base/errors.js'
import { Fifo } from '../../base/fifo.js'
import type { MountOptions } from '../../channel/mount-port.js'
import type { NotifierJob, NotifierResult } from './notifier.js'
import { startWorker } from './worker-start.js'

/** A batch waits so long for a thread before there is one more. */
const PATIENCE_MS = 20
/** A thread that had nothing to do for so long ends, if it is not the last one. */
const IDLE_MS = 30_000
/** A thread that could not be started, or ended by itself, is started again after so long. */
const RESTART_MS = 1000
/** So many threads may fail over one batch. */
const TRIES_MAX = 3

interface Waiting {
  readonly job: NotifierJob
  readonly log: MountOptions['log']
  readonly done: (result: NotifierResult | undefined) => void
  readonly since: number
  tries: number
}

interface Thread {
  readonly worker: Worker
  running: Waiting | undefined
  idleSince: number
}

/**
 * The threads that write notifications, of all mounts of this process: as a rule one. A write may wait for long, for a lock
 * whose holder waits for an answer of its own mount; the others must not wait for that, so that there are more as soon as a
 * batch has waited for a moment.
 */
class Notifiers {
  readonly #threads = new Set<Thread>()
  readonly #waiting = new Fifo<Waiting>()
  #users = 0
  #timer: NodeJS.Timeout | undefined
  /** Until then no thread is started: the last one could not be, or ended by itself. */
  #notBefore = 0

  /** A mount will have notifications written. */
  open(): void {
    this.#users++
    if (this.#threads.size === 0) this.#start()
  }

  /** It has none any more. With the last one the threads end. */
  close(): void {
    this.#users--
    this.#endIdle()
  }

  /** Writes a batch. `done` gets what became of it; undefined: no thread has written it, though some were tried. */
  write(job: NotifierJob, log: MountOptions['log'], done: (result: NotifierResult | undefined) => void): void {
    this.#waiting.push({ job, log, done, since: performance.now(), tries: 0 })
    this.#next()
  }

  #next(): void {
    for (const thread of this.#threads) {
      if (thread.running !== undefined) continue
      const waiting = this.#waiting.shift()
      if (waiting === undefined) break
      thread.running = waiting
      // a copy: it is written again if the thread ends
      thread.worker.postMessage(waiting.job)
    }
    if (this.#waiting.length > 0 || this.#threads.size > 1) this.#lookLater()
  }

  #lookLater(): void {
    if (this.#timer !== undefined) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      const { first } = this.#waiting
      const isLate = first !== undefined && performance.now() - first.since >= PATIENCE_MS
      if (isLate && performance.now() >= this.#notBefore) this.#start()
      this.#endIdle()
      this.#next()
    }, PATIENCE_MS).unref()
  }

  #endIdle(): void {
    const now = performance.now()
    for (const thread of this.#threads) {
      if (thread.running !== undefined) continue
      const isLast = this.#threads.size === 1
      if (this.#users > 0 && (isLast || now - thread.idleSince < IDLE_MS)) continue
      this.#threads.delete(thread)
      thread.worker.postMessage('stop')
    }
  }

  #start(): void {
    let worker: Worker
    try {
      worker = startWorker('notifier', undefined)
    } catch (error) {
      // a limit of threads, as a rule
      return this.#failed(messageOf(error))
    }
    const thread: Thread = { worker, running: undefined, idleSince: performance.now() }
    this.#threads.add(thread)
    const end = (): Waiting | undefined => {
      const { running } = thread
      thread.running = undefined
      thread.idleSince = performance.now()
      return running
    }
    worker.on('message', (result: NotifierResult) => {
      end()?.done(result)
      this.#next()
    })
    let reason = 'it ended'
    worker.on('error', error => (reason = messageOf(error))) // `exit` follows
    worker.on('exit', () => {
      const running = end()
      // otherwise it was asked to
      if (this.#threads.delete(thread)) this.#failed(reason, running)
      this.#next()
    })
    // the readers of the mounts keep the process alive; these threads alone must not
    worker.unref()
    this.#next()
  }

  /** `running`: the batch that it was about; the next one waits for it otherwise. */
  #failed(reason: string, running = this.#waiting.shift()): void {
    this.#notBefore = performance.now() + RESTART_MS
    if (running === undefined) return
    running.log('error', 'a thread that writes cache notifications failed; it is started again', { error: reason })
    if (++running.tries < TRIES_MAX) this.#waiting.pushFirst(running)
    else running.done(undefined)
  }
}

export const notifiers = new Notifiers()
