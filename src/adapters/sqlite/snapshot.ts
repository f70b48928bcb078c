import type { Worker } from 'node:worker_threads'
import { messageOf, RkfsError } from '../../base/errors.js'
import { bulkAllocated } from '../host/bulk-memory.js'
import { DamagedBlob } from '../../channel/log-port.js'
import type { AppliedPosition, RecordWrite } from '../../fs/store-port.js'
import {
  type BlobBatch,
  type SnapshotAnswer,
  type SnapshotRequest,
  type SnapshotStart,
  unpackRecords,
} from './snapshot-protocol.js'
import { startModule } from './worker-module.js'

export type { SnapshotReader } from './snapshot-view.js'

interface Pending {
  resolve(answer: SnapshotAnswer): void
  reject(error: unknown): void
  progress?: (value: unknown) => void
}

/** Fetches a blob that cannot be read here from the other members; undefined when it cannot be had. */
export type Mend = (damage: DamagedBlob) => Promise<Uint8Array | undefined>

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never

/**
 * A moment of a channel's log and state, read in a worker while writing goes on. As long as it is open no WAL can be
 * begun anew, so that they grow by what is written: it must be closed.
 */
export class Snapshot {
  /** Undefined for a state that was never written. */
  position: AppliedPosition | undefined
  #worker: Worker
  #pending = new Map<number, Pending>()
  #nextId = 1
  #nextStream = 1
  #ended: RkfsError | undefined
  #exited: Promise<void>
  #closing: Promise<void> | undefined

  readonly #mend: Mend

  private constructor(worker: Worker, mend: Mend) {
    this.#worker = worker
    this.#mend = mend
    this.#exited = new Promise(resolve => worker.once('exit', () => resolve()))
    worker.on('message', (answer: SnapshotAnswer) => this.#answered(answer))
    worker.on('error', error =>
      this.#end(new RkfsError('failed', `a snapshot failed: ${messageOf(error)}`, { cause: error })),
    )
    worker.on('exit', () => this.#end(new RkfsError('failed', 'the snapshot is closed')))
  }

  /** See `openSnapshot`. */
  static async open(statePath: string, logPath: string, mend: Mend): Promise<Snapshot> {
    const workerData: SnapshotStart = { statePath, logPath }
    const worker = startModule(import.meta.url, 'snapshot-worker', { workerData })
    const snapshot = new Snapshot(worker, mend)
    const opened = await new Promise<SnapshotAnswer>((resolve, reject) =>
      snapshot.#pending.set(0, { resolve, reject }),
    ).catch(async (error: unknown) => {
      await worker.terminate()
      throw error
    })
    if (opened.kind === 'open') snapshot.position = opened.position
    return snapshot
  }

  #answered(answer: SnapshotAnswer): void {
    if (answer.kind === 'damaged') return void this.#mendBlob(answer.blob, answer.message)
    const pending = this.#pending.get(answer.id)
    if (pending === undefined) return
    if (answer.kind === 'progress') return pending.progress?.(answer.value)
    this.#pending.delete(answer.id)
    if (answer.kind === 'failed') pending.reject(new RkfsError(answer.failure.code ?? 'failed', answer.failure.message))
    else pending.resolve(answer)
  }

  async #mendBlob(blob: number, message: string): Promise<void> {
    const data = await this.#mend(new DamagedBlob(blob, message)).catch(() => undefined)
    if (this.#ended === undefined) this.#worker.postMessage({ id: 0, kind: 'mended', blob, data })
  }

  #end(error: RkfsError): void {
    this.#ended ??= error
    for (const pending of this.#pending.values()) pending.reject(this.#ended)
    this.#pending.clear()
  }

  #ask(request: WithoutId<SnapshotRequest>, progress?: (value: unknown) => void): Promise<SnapshotAnswer> {
    if (this.#ended) return Promise.reject(this.#ended)
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, progress })
      this.#worker.postMessage({ ...request, id })
    })
  }

  /** All records in table and key order, in batches of at most 512 KiB (one larger record stands alone), as they are asked for. */
  async *records(): AsyncGenerator<RecordWrite[], void, undefined> {
    const stream = this.#nextStream++
    try {
      for (;;) {
        const answer = await this.#ask({ kind: 'records', stream })
        if (answer.kind !== 'records' || answer.batch === undefined) return
        yield unpackRecords(answer.batch)
      }
    } finally {
      await this.#endStream(stream)
    }
  }

  /** The blobs that the state's extents refer to, in batches of at most 1 MiB, as they are asked for. */
  async *blobs(): AsyncGenerator<{ id: number; data: Uint8Array }[], void, undefined> {
    const stream = this.#nextStream++
    try {
      for (;;) {
        const answer = await this.#ask({ kind: 'blobs', stream })
        if (answer.kind !== 'blobs' || answer.batch === undefined) return
        const { ids, data }: BlobBatch = answer.batch
        for (const { buffer } of data) if (buffer instanceof SharedArrayBuffer) bulkAllocated(buffer.byteLength)
        yield ids.map((id, at) => ({ id, data: data[at]! }))
      }
    } finally {
      await this.#endStream(stream)
    }
  }

  async #endStream(stream: number): Promise<void> {
    if (!this.#ended && !this.#closing) await this.#ask({ kind: 'end', stream })
  }

  /**
   * Imports a module in the worker and runs one of its functions with (`SnapshotReader`, args, progress); answers what
   * it returns. Arguments, results and progress are cloned. Streams stand still while it runs without awaiting.
   */
  async run(module: string | URL, name: string, args: unknown, progress?: (value: unknown) => void): Promise<unknown> {
    const answer = await this.#ask({ kind: 'run', module: String(module), name, args }, progress)
    return answer.kind === 'result' ? answer.value : undefined
  }

  /** Ends both read transactions and the worker; what is still asked of it fails. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    // A worker that died has nothing left to close.
    if (!this.#ended) await this.#ask({ kind: 'close' }).catch(() => {})
    await this.#exited
  }
}

/**
 * Opens a snapshot; it stands when this resolves. The caller must not write to either database in between, or the two
 * views would be of different moments.
 */
export function openSnapshot(
  statePath: string,
  logPath: string,
  mend: Mend = async () => undefined,
): Promise<Snapshot> {
  return Snapshot.open(statePath, logPath, mend)
}
