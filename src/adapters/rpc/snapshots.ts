import { create } from '@bufbuild/protobuf'
import type { ServerWritableStream } from '@grpc/grpc-js'

import { RkfsError, messageOf } from '../../base/errors.js'
import type { MemberId } from '../../base/ids.js'
import { messageBytesMax } from '../../base/limits.js'
import { SnapshotChunkSchema, type SnapshotChunk, type SnapshotRequest } from '../../gen/rkfs/v1/peer_pb.js'
import type { Log } from './log.js'
import { connectPeer, type PeerTarget } from './peer-client.js'
import { peerService } from './services.js'
import { callErrorOf, errorOfCall } from './status.js'
import { chunksOnWireMax, snapshotIdleMs, snapshotTakenMs } from './tuning.js'

/** A part of a snapshot; the meaning of `kind`, `id` and `data` is the handler's. */
export interface Chunk {
  /** An unsigned 32-bit number. */
  readonly kind: number
  /** 0 to 2^53-1. */
  readonly id: number
  /** Not changed after it was handed over; at most `chunkDataBytesMax`. */
  readonly data: Uint8Array
}

export const chunkDataBytesMax = messageBytesMax - 64

export interface SnapshotSink {
  /** Resolves when the next chunk is welcome. Rejects `unavailable` when the other side is gone. */
  write(chunk: Chunk): Promise<void>
}

/** Writes this member's snapshot at `index` or later. `signal` fires when the other side is gone. */
export type SnapshotHandler = (
  from: MemberId,
  request: { readonly index: number },
  sink: SnapshotSink,
  signal: AbortSignal,
) => Promise<void>

type Call = ServerWritableStream<SnapshotRequest, SnapshotChunk>

/** Serves one call. Never rejects: an error of the handler goes to the other side. */
export async function serveSnapshot(call: Call, from: MemberId, handler: SnapshotHandler, log: Log): Promise<void> {
  const gone = new AbortController()
  const leave = (): void => gone.abort(new RkfsError('unavailable', 'the member that wanted the snapshot is gone'))
  call.on('cancelled', leave)
  call.on('error', leave)
  call.on('close', leave)
  const index = Number(call.request.index)
  try {
    if (!Number.isSafeInteger(index)) throw new RkfsError('usage', 'the index is out of range')
    await handler(from, { index }, new CallSink(call, gone.signal), gone.signal)
    gone.signal.throwIfAborted()
    call.end()
  } catch (error) {
    if (gone.signal.aborted) return
    log('warn', 'a snapshot could not be sent', { peer: from, reason: messageOf(error) })
    call.emit('error', callErrorOf(error))
  }
}

/** Chunks go out while fewer than `chunksOnWireMax` are on their way; more wait for one to be taken. */
class CallSink implements SnapshotSink {
  readonly #call: Call
  readonly #signal: AbortSignal
  #onWire = 0
  #taken: (() => void) | undefined

  constructor(call: Call, signal: AbortSignal) {
    this.#call = call
    this.#signal = signal
  }

  async write({ kind, id, data }: Chunk): Promise<void> {
    if (data.length > chunkDataBytesMax) {
      throw new RkfsError('failed', `a snapshot chunk of ${data.length} bytes is too long`)
    }
    this.#signal.throwIfAborted()
    this.#onWire++
    const message = create(SnapshotChunkSchema, { kind, id: BigInt(id), data: data as Uint8Array<ArrayBuffer> })
    this.#call.write(message, () => {
      this.#onWire--
      this.#taken?.()
    })
    if (this.#onWire >= chunksOnWireMax) await this.#room()
  }

  #room(): Promise<void> {
    return new Promise((resolve, reject) => {
      const finish = (error?: Error): void => {
        clearTimeout(timer)
        this.#signal.removeEventListener('abort', left)
        this.#taken = undefined
        if (error) reject(error)
        else resolve()
      }
      const left = (): void => finish(this.#signal.reason as Error)
      const timer = setTimeout(
        () => finish(new RkfsError('timeout', 'the other member does not read the snapshot')),
        snapshotTakenMs,
      )
      this.#signal.addEventListener('abort', left)
      this.#taken = () => finish()
    })
  }
}

/** The client's side: see `ChannelTransport.fetchSnapshot`. */
export async function* fetchChunks(
  target: PeerTarget,
  request: SnapshotRequest,
  signal: AbortSignal,
): AsyncGenerator<SnapshotChunk, void, undefined> {
  if (signal.aborted) throw new RkfsError('unavailable', 'given up')
  let identity: RkfsError | undefined
  const client = connectPeer(target, result => {
    if (result instanceof RkfsError) identity = result
  })
  const { path, requestSerialize, responseDeserialize } = peerService.fetchSnapshot
  const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request)
  let silent = false
  call.on('error', () => undefined)
  const abort = (): void => call.cancel()
  // a chunk may be long for its link: bytes of it are a sign of life
  let bytesRead = 0
  const timer = setInterval(() => {
    if (client.bytesRead > bytesRead) {
      bytesRead = client.bytesRead
      return
    }
    silent = true
    call.cancel()
  }, snapshotIdleMs)
  signal.addEventListener('abort', abort)
  try {
    for await (const chunk of call as AsyncIterable<SnapshotChunk>) {
      timer.refresh()
      if (signal.aborted) break // chunks that came before it are still in the stream
      yield chunk
      timer.refresh()
    }
    if (signal.aborted) throw new RkfsError('unavailable', 'given up')
  } catch (error) {
    if (signal.aborted) throw new RkfsError('unavailable', 'given up', { cause: error })
    if (silent) throw new RkfsError('timeout', 'the snapshot stalled: nothing came for a minute', { cause: error })
    throw identity ?? errorOfCall(error)
  } finally {
    clearInterval(timer)
    signal.removeEventListener('abort', abort)
    call.cancel()
    client.close()
  }
}
