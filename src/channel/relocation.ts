import { concatBytes } from '../base/bytes.js'
import { blobsPerEntryMax, chunkBytes, keptRunsMax } from '../base/limits.js'
import { getInode } from '../fs/apply.js'
import { readPieces } from '../fs/extents.js'
import type { KeptRun, RelocateOperation } from '../fs/operation.js'
import { placeOfChunk } from '../fs/store-port.js'
import type { Blobs } from './blobs.js'
import type { Core } from './core.js'
import { type BlobId, DamagedBlob } from './log-port.js'
import type { OwnChanges } from './own-changes.js'
import { keepParts } from './space-policy.js'
import type { Space } from './space.js'
import type { StagedLog } from './staged-log.js'
import type { ChannelPorts } from './ports.js'
import type { Retention } from './upkeep.js'
import type { Views } from './views.js'

/** Blobs, and chunks, that one tick looks at: some milliseconds. */
const sweptMax = 512
const scannedMax = 256
/** Blobs that one pass is about at most. */
const sparseMax = 8192
/** A blob with no more than this part in use is sparse; the next parts are for when those before were not enough. */
const sparseParts = [1 / 2, 3 / 4, 7 / 8]
/** Ticks from one pass to the next: what it freed goes with the log meanwhile. */
const restTicks = 100
/** … so many times as long after one that found nothing, though it was the last that would. */
const longRest = 60
const timeoutMs = 30_000

interface PlaceOfChunk {
  readonly ino: number
  readonly chunk: number
}

/** A pass through the log's blobs, for those that are sparse, and then through the chunks of all files, for who uses them. */
interface Pass {
  readonly sparse: Set<BlobId>
  /** The last blob that was looked at; undefined when all were. */
  blob: BlobId | undefined
  /** The last record that was looked at. */
  readonly chunk: { ino: number; key: string | undefined }
  /** Chunks whose bytes in sparse blobs are to be relocated. */
  readonly found: PlaceOfChunk[]
}

/**
 * As leader: bytes in use of blobs most of which is not are kept anew, by a change in the order, so that those blobs can go
 * on all members. A blob goes only as a whole; without this a file that is overwritten in small places keeps what it was
 * before. Only where more of them is unused than may be kept.
 */
export class Relocation {
  readonly #ports: ChannelPorts
  readonly #log: StagedLog
  readonly #views: Views
  readonly #blobs: Blobs
  readonly #space: Space
  readonly #own: OwnChanges
  readonly #looseMax: number | undefined
  readonly #restTicks: number
  #pass: Pass | undefined
  #rest = 0
  #part = 0
  #isUnderWay = false
  #relocated = 0

  constructor(
    { ports, log, views }: Core,
    blobs: Blobs,
    space: Space,
    own: OwnChanges,
    { looseBytes, looseTicks = restTicks }: Retention,
  ) {
    this.#ports = ports
    this.#log = log
    this.#views = views
    this.#blobs = blobs
    this.#space = space
    this.#own = own
    this.#looseMax = looseBytes
    this.#restTicks = looseTicks
  }

  /** Bytes that were kept anew. */
  get relocated(): number {
    return this.#relocated
  }

  tick(): void {
    if (this.#isUnderWay) return
    if (this.#pass === undefined) {
      if (this.#rest-- > 0) return
      this.#rest = this.#restTicks
      const most = this.#looseMax ?? this.#space.keep.usual * keepParts.loose
      if (this.#looseBytes() <= most) this.#part = 0
      else this.#pass = { sparse: new Set(), blob: -1, chunk: { ino: 0, key: undefined }, found: [] }
      return
    }
    if (this.#pass.blob !== undefined) this.#sweep(this.#pass)
    else if (this.#pass.found.length > 0) this.#relocate(this.#pass)
    else this.#scan(this.#pass)
  }

  /** What a leader was about ends with its leadership. */
  stop(): void {
    this.#pass = undefined
  }

  /** At least so many bytes of blobs from before the log are not in use: some of what is lies in the log. */
  #looseBytes(): number {
    const { blobs, log, entries } = this.#ports.log.bytes
    return blobs - (log - entries) - this.#views.table.dataBytes
  }

  #sweep(pass: Pass): void {
    const { log } = this.#ports
    const end = this.#log.firstIndex * blobsPerEntryMax
    const ids = log.blobIds(pass.blob!, sweptMax)
    for (const id of ids) {
      if (id >= end) break
      const live = this.#views.table.liveBytes(id)
      if (live > 0 && live <= (log.blobBytes(id) ?? 0) * sparseParts[this.#part]!) pass.sparse.add(id)
    }
    const last = ids.at(-1)
    pass.blob = last === undefined || last >= end || pass.sparse.size >= sparseMax ? undefined : last
    if (pass.blob === undefined && pass.sparse.size === 0) this.#done(true)
  }

  /** `isEmpty`: there was no sparse blob. */
  #done(isEmpty: boolean): void {
    this.#pass = undefined
    if (!isEmpty) this.#part = 0
    else if (this.#part < sparseParts.length - 1) this.#part++
    else this.#rest = longRest * this.#restTicks
  }

  #scan(pass: Pass): void {
    const { chunk, found, sparse } = pass
    const records = this.#views.table.storedChunksAfter(chunk.ino, chunk.key, scannedMax)
    for (const { ino, key, extents } of records) {
      Object.assign(chunk, { ino, key })
      if (!extents.some(({ blob }) => sparse.has(blob))) continue
      const place = { ino, chunk: placeOfChunk(key).chunk }
      const last = found.at(-1)
      // of its pages one stands for all
      if (last?.ino !== ino || last.chunk !== place.chunk) found.push(place)
    }
    if (records.length < scannedMax && found.length === 0) this.#done(false)
  }

  /** Keeps the next bytes of the first chunk that was found anew. */
  #relocate(pass: Pass): void {
    const [place] = pass.found
    const runs = this.#runsIn(place!, pass.sparse)
    const payload = runs.length === 0 ? undefined : this.#read(runs)
    if (payload === undefined) return void pass.found.shift()
    const operation: RelocateOperation = { kind: 'relocate', ino: place!.ino, length: payload.length, runs }
    this.#isUnderWay = true
    this.#own.submit('change', operation, payload, {
      // nobody is told of it before it is committed: what becomes of it concerns no program
      durable: true,
      timeoutMs,
      done: errno => {
        this.#isUnderWay = false
        // what is left of this chunk is looked at again; one that does not come about is left to another pass
        if (errno === 0) this.#relocated += payload.length
        else pass.found.shift()
      },
    })
  }

  #runsIn({ ino, chunk }: PlaceOfChunk, sparse: ReadonlySet<BlobId>): KeptRun[] {
    const { ordered: view } = this.#views
    const size = getInode(view, ino)?.size ?? 0
    const base = chunk * chunkBytes
    const runs: KeptRun[] = []
    let offset = base
    let left = Math.min(chunkBytes, this.#own.writeBytes)
    for (const piece of readPieces(view, ino, base, Math.max(0, Math.min(chunkBytes, size - base)))) {
      if (left === 0 || runs.length === keptRunsMax) break
      if (piece.blob !== undefined && sparse.has(piece.blob)) {
        const length = Math.min(piece.length, left)
        addRun(runs, { offset, length, blob: piece.blob, blobOffset: piece.offset })
        left -= length
      }
      offset += piece.length
    }
    return runs
  }

  /** Undefined: they cannot be read, and are healed. */
  #read(runs: readonly KeptRun[]): Uint8Array | undefined {
    try {
      const parts = runs.map(({ blob, blobOffset, length }) =>
        this.#blobs.get(blob).subarray(blobOffset, blobOffset + length),
      )
      return concatBytes(
        parts,
        parts.reduce((sum, { length }) => sum + length, 0),
      )
    } catch (error) {
      if (error instanceof DamagedBlob) return undefined
      throw error
    }
  }
}

function addRun(runs: KeptRun[], run: KeptRun): void {
  const last = runs.at(-1)
  const goesOn =
    last?.blob === run.blob &&
    last.offset + last.length === run.offset &&
    last.blobOffset + last.length === run.blobOffset
  if (goesOn) runs[runs.length - 1] = { ...last, length: last.length + run.length }
  else runs.push(run)
}
