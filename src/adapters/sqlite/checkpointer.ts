import type Database from 'better-sqlite3'
import type { Worker } from 'node:worker_threads'
import { assert } from '../../base/assert.js'
import { messageOf } from '../../base/errors.js'
import { failpoint } from '../../base/failpoint.js'
import { readAgain, type StoreLog } from './failures.js'
import { startModule } from './worker-module.js'

/** States of the one shared word of a checkpointer. */
export const slotIdle = 0
export const slotRequested = 1
export const slotRunning = 2
export const slotReady = 3

export interface CheckpointJob {
  readonly id: number
  readonly path: string
  readonly slot: Int32Array
}
export interface CheckpointDone {
  readonly id: number
  readonly error: string | undefined
}

/** A WAL that is so many times as large as its threshold is checkpointed by whoever writes. */
export const walLimit = 3
/** How long one new transaction waits for the worker then. */
const backPressureMs = 50
/** A checkpoint in the worker is given this long before a closing store reports it and goes on. */
const closeWaitMs = 60_000

/** The writer's thread copies at most this much itself, unless the WAL is at three times its threshold. */
const restBytesMax = 2 * 1024 * 1024

let worker: Worker | undefined
let nextId = 1
const checkpointers = new Map<number, Checkpointer>()

/** One worker for all databases of the process. It holds a connection only while it works, so it may be left alone. */
function startWorker(log: StoreLog): Worker {
  const started = startModule(import.meta.url, 'checkpoint-worker')
  started.on('message', (done: CheckpointDone) => checkpointers.get(done.id)?.done(done.error))
  started.on('error', error => {
    log.error({ error: messageOf(error) }, 'the checkpoint worker died; checkpoints run in the main thread')
    worker = undefined
    for (const one of checkpointers.values()) one.workerDied()
  })
  // After the listeners, which hold the process. A store that is open is what keeps it alive, and closing one waits for the worker.
  started.unref()
  return started
}

/**
 * Keeps a WAL bounded without stalling its writer (COMMIT §3): beyond the threshold a worker copies the bulk with PASSIVE
 * checkpoints while writing goes on; the small rest is copied by the writer itself between two transactions, so that the
 * next one finds nothing left and begins the file anew. That is "hold, PASSIVE, release" without a hop between threads
 * and without a queue: a commit is always in the WAL when it returns.
 */
export class Checkpointer {
  /** The longest that the writer's thread stood still for the last part, in milliseconds; for metrics. */
  longestStallMs = 0
  #db: Database.Database
  #path: string
  #thresholdFrames: number
  #log: StoreLog
  #id = nextId++
  #slot = new Int32Array(new SharedArrayBuffer(4))
  #nextAt: number
  #workerless = false
  #restFramesMax: number
  #finish: Database.Statement
  #look: Database.Statement

  constructor(db: Database.Database, path: string, thresholdBytes: number, pageBytes: number, log: StoreLog) {
    this.#db = db
    this.#path = path
    this.#thresholdFrames = Math.ceil(thresholdBytes / pageBytes)
    this.#nextAt = this.#thresholdFrames
    this.#restFramesMax = Math.ceil(restBytesMax / pageBytes)
    this.#log = log
    this.#look = db.prepare('PRAGMA wal_checkpoint(NOOP)').raw()
    this.#finish = db.prepare('PRAGMA wal_checkpoint(PASSIVE)').raw()
    checkpointers.set(this.#id, this)
  }

  /** Before a transaction: slows a writer down that outruns the worker. */
  beforeBegin(frames: number): void {
    if (frames < this.#thresholdFrames * walLimit) return
    // A worker that has not come to it (it may need this thread's event loop to start) is not waited for.
    if (Atomics.compareExchange(this.#slot, 0, slotRequested, slotReady) === slotRunning) {
      Atomics.wait(this.#slot, 0, slotRunning, backPressureMs)
    }
    if (Atomics.load(this.#slot, 0) === slotReady) this.#complete(frames)
  }

  /** The worker has been through: copies the rest if it is small, or sends the worker again, which has less to do each time. */
  #ready(): void {
    const [, inWal, copied] = readAgain(() => this.#look.get()) as [number, number, number]
    const rest = inWal - copied
    if (rest > this.#restFramesMax && rest < inWal && inWal < this.#thresholdFrames * walLimit) this.#request(inWal)
    else this.#complete(inWal)
  }

  /** After a transaction, with the frames now in the WAL. */
  afterCommit(frames: number): void {
    const state = Atomics.load(this.#slot, 0)
    if (state === slotReady) this.#ready()
    else if (state === slotIdle && frames >= this.#nextAt) this.#request(frames)
  }

  #request(frames: number): void {
    if (this.#workerless) return this.#complete(frames)
    worker ??= startWorker(this.#log)
    Atomics.store(this.#slot, 0, slotRequested)
    const job: CheckpointJob = { id: this.#id, path: this.#path, slot: this.#slot }
    worker.postMessage(job)
  }

  /** The worker has copied the bulk. */
  done(error: string | undefined): void {
    if (error !== undefined)
      this.#log.warn({ file: this.#path, error }, 'the checkpoint worker failed; it is tried again')
    if (Atomics.load(this.#slot, 0) === slotReady && this.#db.open && !this.#db.inTransaction) this.#ready()
  }

  workerDied(): void {
    this.#workerless = true
    Atomics.store(this.#slot, 0, slotReady)
    Atomics.notify(this.#slot, 0)
  }

  #complete(frames: number): void {
    Atomics.store(this.#slot, 0, slotIdle)
    const start = performance.now()
    failpoint('checkpoint-finishing')
    try {
      const [busy, inWal, copied] = this.#finish.get() as [number, number, number]
      // A reader (a snapshot) may hold a view that keeps the WAL from being reused: come back when it has grown some more.
      const complete = busy === 0 && inWal === copied
      if (complete) failpoint('checkpoint-finished')
      this.#nextAt = complete ? this.#thresholdFrames : Math.max(inWal, frames) + Math.ceil(this.#thresholdFrames / 4)
    } catch (error) {
      // The change itself is committed; a checkpoint that fails (a full disk) only leaves the WAL longer.
      this.#log.warn({ file: this.#path, error: messageOf(error) }, 'a checkpoint failed; it is tried again')
      this.#nextAt = frames + Math.ceil(this.#thresholdFrames / 4)
    }
    this.longestStallMs = Math.max(this.longestStallMs, performance.now() - start)
  }

  /** Returns when the worker has let go of the database. */
  close(): void {
    if (!checkpointers.delete(this.#id)) return
    if (Atomics.compareExchange(this.#slot, 0, slotRequested, slotIdle) === slotRequested) return
    const deadline = performance.now() + closeWaitMs
    while (Atomics.load(this.#slot, 0) === slotRunning) {
      Atomics.wait(this.#slot, 0, slotRunning, 1000)
      assert(performance.now() < deadline, `a checkpoint of ${this.#path} does not end`)
    }
  }
}
