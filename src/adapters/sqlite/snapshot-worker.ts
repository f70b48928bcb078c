/** The worker behind one `Snapshot`. */
import { parentPort, workerData } from 'node:worker_threads'
import { messageOf, RkfsError } from '../../base/errors.js'
import type { DamagedBlob } from '../../channel/log-port.js'
import type { BlobBatch, SnapshotAnswer, SnapshotRequest, SnapshotStart } from './snapshot-protocol.js'
import { SnapshotView } from './snapshot-view.js'

const port = parentPort!
const { statePath, logPath } = workerData as SnapshotStart

function answer(message: SnapshotAnswer, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer)
}

function fail(id: number, error: unknown): void {
  const code = error instanceof RkfsError ? error.code : undefined
  answer({ id, kind: 'failed', failure: { code, message: messageOf(error) } })
}

/** The memory of each blob, if it is the blob's alone; shared memory is not given away, the receiver counts it. */
function ownBuffers(batch: BlobBatch): { batch: BlobBatch; buffers: ArrayBuffer[] } {
  const data = batch.data.map(one => (one.byteLength === one.buffer.byteLength ? one : Uint8Array.from(one)))
  const buffers = data.map(one => one.buffer).filter(buffer => buffer instanceof ArrayBuffer)
  return { batch: { ids: batch.ids, data }, buffers }
}

/** Who waits for a blob that cannot be read. */
const mending = new Map<number, ((data: Uint8Array | undefined) => void)[]>()

function mend({ blob, message }: DamagedBlob): Promise<Uint8Array | undefined> {
  return new Promise(resolve => {
    const waiting = mending.get(blob)
    if (waiting !== undefined) return waiting.push(resolve)
    mending.set(blob, [resolve])
    answer({ id: 0, kind: 'damaged', blob, message })
  })
}

function serve(view: SnapshotView): void {
  const records = new Map<number, Generator<Uint8Array<ArrayBuffer>, void, undefined>>()
  const blobs = new Map<number, AsyncGenerator<BlobBatch, void, undefined>>()

  const handle = async (request: SnapshotRequest): Promise<void> => {
    const { id } = request
    switch (request.kind) {
      case 'records': {
        const stream = records.get(request.stream) ?? view.recordBatches()
        records.set(request.stream, stream)
        const { value: batch } = stream.next()
        return answer({ id, kind: 'records', batch: batch ?? undefined }, batch ? [batch.buffer] : [])
      }
      case 'blobs': {
        const stream = blobs.get(request.stream) ?? view.blobBatches()
        blobs.set(request.stream, stream)
        const { value } = await stream.next()
        if (!value) return answer({ id, kind: 'blobs', batch: undefined })
        const { batch, buffers } = ownBuffers(value)
        return answer({ id, kind: 'blobs', batch }, buffers)
      }
      case 'end':
        records.get(request.stream)?.return()
        void blobs.get(request.stream)?.return()
        records.delete(request.stream)
        blobs.delete(request.stream)
        return answer({ id, kind: 'result', value: undefined })
      case 'run': {
        const module = (await import(request.module)) as Record<string, unknown>
        const run = module[request.name]
        if (typeof run !== 'function') throw new Error(`${request.module} exports no function ${request.name}`)
        const progress = (value: unknown): void => answer({ id, kind: 'progress', value })
        return answer({ id, kind: 'result', value: await (run(view, request.args, progress) as unknown) })
      }
      case 'mended': {
        const waiting = mending.get(request.blob) ?? []
        mending.delete(request.blob)
        for (const tell of waiting) tell(request.data)
        return
      }
      case 'close':
        for (const stream of records.values()) stream.return()
        for (const waiting of mending.values()) for (const tell of waiting) tell(undefined)
        for (const stream of blobs.values()) void stream.return()
        view.close()
        answer({ id, kind: 'result', value: undefined })
        // Nothing is left to do: the thread ends.
        port.close()
    }
  }
  port.on('message', (request: SnapshotRequest) => {
    handle(request).catch((error: unknown) => fail(request.id, error))
  })
}

try {
  const view = new SnapshotView(statePath, logPath, mend)
  serve(view)
  answer({ id: 0, kind: 'open', position: view.position })
} catch (error) {
  fail(0, error)
}
