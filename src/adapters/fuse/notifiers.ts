import type { Worker } from 'node:worker_threads'
import type { NotifierJob, NotifierResult } from './notifier.js'
import { startWorker } from './worker-start.js'

/** A batch waits so long for a thread before there is one more. */
const PATIENCE_MS = 20
/** A thread that had nothing to do for so long ends, if it is not the last one. */
const IDLE_MS = 30_000

interface Waiting {
  readonly job: NotifierJob
  readonly done: (result: NotifierResult | undefined) => void
  readonly since: number
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
  readonly #waiting: Waiting[] = []
  #users = 0
  #timer: NodeJS.Timeout | undefined

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

  /** Writes a batch, which is given away. `done` gets what became of it; undefined: the thread failed. */
  write(job: NotifierJob, done: (result: NotifierResult | undefined) => void): void {
    this.#waiting.push({ job, done, since: performance.now() })
    this.#next()
  }

  #next(): void {
    for (const thread of this.#threads) {
      if (thread.running !== undefined) continue
      const waiting = this.#waiting.shift()
      if (waiting === undefined) break
      thread.running = waiting
      thread.worker.postMessage(waiting.job, [waiting.job.batch])
    }
    if (this.#waiting.length > 0 || this.#threads.size > 1) this.#lookLater()
  }

  #lookLater(): void {
    if (this.#timer !== undefined) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      const [first] = this.#waiting
      if (first !== undefined && performance.now() - first.since >= PATIENCE_MS) this.#start()
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
    const worker = startWorker('notifier', undefined)
    const thread: Thread = { worker, running: undefined, idleSince: performance.now() }
    this.#threads.add(thread)
    const end = (result: NotifierResult | undefined): void => {
      const { running } = thread
      thread.running = undefined
      thread.idleSince = performance.now()
      running?.done(result)
      this.#next()
    }
    worker.on('message', end)
    worker.on('error', () => undefined) // `exit` follows
    worker.on('exit', () => {
      // it was not asked to
      if (this.#threads.delete(thread) && this.#threads.size === 0 && this.#users > 0) this.#start()
      end(undefined)
    })
    // the readers of the mounts keep the process alive; these threads alone must not
    worker.unref()
    this.#next()
  }
}

export const notifiers = new Notifiers()
