import { concatBytes } from '../base/bytes.js'
import { EAGAIN, ENOENT, ENOSPC } from '../base/errno.js'
import { RkfsError } from '../base/errors.js'
import { blobsPerEntryMax, chunkBytes, keptRunsMax, KiB, MiB } from '../base/limits.js'
import { getInode } from '../fs/apply.js'
import { readPieces } from '../fs/extents.js'
import type { KeptRun, RelocateOperation } from '../fs/operation.js'
import { placeOfChunk } from '../fs/store-port.js'
import type { TableView } from '../fs/table-view.js'
import type { Blobs } from './blobs.js'
import type { Core } from './core.js'
import { type BlobId, DamagedBlob } from './log-port.js'
import type { OwnChanges } from './own-changes.js'
import { keepParts } from './space-policy.js'
import type { Space } from './space.js'
import type { StagedLog } from './staged-log.js'
import type { ChannelPorts } from './ports.js'
import type { Views } from './views.js'

/** Blobs, and chunks, that one tick looks at: some milliseconds. */
const sweptMax = 512
const scannedMax = 256
/** Changes that one tick begins, one after the other. */
const changesMax = 4
/** Blobs that one pass is about at most. */
const sparseMax = 65_536
/** A blob with no more than this part in use is sparse; the next parts are for when those before were not enough. */
const sparseParts = [1 / 2, 3 / 4, 7 / 8]
/** So many times as long it rests after a pass that achieved nothing, though it was the last that would. */
const longRest = 60
const timeoutMs = 30_000
const overwrittenLeast = MiB

export interface RelocationLimits {
  /** How many bytes of blobs that are in use may be in no file; undefined: a part of what may be kept. */
  readonly looseBytes?: number
  /** A blob of which less is to be gained is not worth an entry. */
  readonly gainBytes: number
  /** Ticks from one pass to the next: what it freed goes with the log meanwhile. */
  readonly restTicks: number
}

const usualLimits: RelocationLimits = { gainBytes: 4 * KiB, restTicks: 100 }

interface PlaceOfChunk {
  readonly ino: number
  readonly chunk: number
}

/** A pass through the log's blobs, for those that are sparse, and then through the chunks of all files, for who uses them. */
interface Pass {
  readonly sparse: Set<BlobId>
  /** Bytes that no file uses of blobs that are in use. */
  loose: number
  /** The last blob that was looked at; undefined when all were. */
  blob: BlobId | undefined
  /** The last record that was looked at. */
  readonly chunk: { ino: number; key: string | undefined }
  /** Chunks whose bytes in sparse blobs are to be relocated. */
  readonly found: PlaceOfChunk[]
  /** Bytes that were kept anew. */
  relocated: number
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
  readonly #limits: RelocationLimits
  #pass: Pass | undefined
  #rest = 0
  /** What had been written over when it found last that nothing can be done; undefined: it did not. */
  #gaveUp: number | undefined
  #part = 0
  /** What had been written over when the blobs were last looked at: only that makes them sparse. */
  #looked: { readonly table: TableView; readonly uncovered: number } | undefined
  /** Takes the change that is on its way back, if it was not sent yet. */
  #cancel: (() => void) | undefined
  #changes = 0

  constructor(
    { ports, log, views }: Core,
    blobs: Blobs,
    space: Space,
    own: OwnChanges,
    limits: Partial<RelocationLimits> = {},
  ) {
    this.#ports = ports
    this.#log = log
    this.#views = views
    this.#blobs = blobs
    this.#space = space
    this.#own = own
    this.#limits = { ...usualLimits, ...limits }
  }

  tick(): void {
    if (this.#cancel !== undefined) return
    this.#changes = 0
    this.#attempt(() => {
      if (this.#pass !== undefined) this.#goOn(this.#pass)
      else if (this.#isDue()) this.#maybeBegin()
    })
  }

  /** What cannot be read concerns whoever needs it: this can wait. */
  #attempt(work: () => void): void {
    try {
      work()
    } catch (error) {
      if (!(error instanceof RkfsError)) throw error
      this.#giveUp()
    }
  }

  /** What a leader was about ends with its leadership. */
  stop(): void {
    if (this.#pass === undefined) return
    this.#pass = undefined
    this.#looked = undefined
    this.#part = 0
    this.#cancel?.()
  }

  get #most(): number {
    const usual = this.#space.anyShort ? 0 : this.#space.keep.usual * keepParts.loose
    return this.#limits.looseBytes ?? usual
  }

  #isDue(): boolean {
    if (this.#gaveUp === undefined) this.#rest = Math.min(this.#rest, this.#restTicks)
    return this.#rest-- <= 0 || this.#hasMore
  }

  /** Where a disk is short somebody may be waiting for what it gives back. */
  get #restTicks(): number {
    const { restTicks } = this.#limits
    return this.#space.anyShort ? Math.ceil(restTicks / 10) : restTicks
  }

  /** So much was written over since it gave up that there is something to be had again. */
  get #hasMore(): boolean {
    if (this.#gaveUp === undefined) return false
    const least = Math.max(overwrittenLeast, this.#space.keep.usual * keepParts.loose)
    return this.#views.table.uncoveredBytes - this.#gaveUp > least
  }

  /** Bytes of blobs may come free by what it does: it has not found that there is nothing to be had. */
  get mayGiveBack(): boolean {
    return this.#gaveUp === undefined
  }

  #maybeBegin(): void {
    const { table } = this.#views
    this.#rest = this.#restTicks
    this.#gaveUp = undefined
    const { uncoveredBytes: uncovered } = table
    if (this.#looked?.table === table && uncovered - this.#looked.uncovered <= this.#most) return
    this.#looked = { table, uncovered }
    const chunk = { ino: 0, key: undefined }
    this.#pass = { sparse: new Set(), loose: 0, blob: -1, chunk, found: [], relocated: 0 }
  }

  #goOn(pass: Pass): void {
    if (pass.blob !== undefined) this.#sweep(pass)
    else if (pass.found.length > 0) this.#relocate(pass)
    else this.#scan(pass)
  }

  #sweep(pass: Pass): void {
    const { log } = this.#ports
    const end = this.#log.firstIndex * blobsPerEntryMax
    const ids = log.blobIds(pass.blob!, sweptMax)
    for (const id of ids) {
      if (id >= end) break
      const live = this.#views.table.liveBytes(id)
      const bytes = live === 0 ? 0 : (log.blobBytes(id) ?? 0)
      pass.loose += Math.max(0, bytes - live)
      const isSparse = live <= bytes * sparseParts[this.#part]! && bytes - live >= this.#limits.gainBytes
      if (isSparse && pass.sparse.size < sparseMax) pass.sparse.add(id)
    }
    const last = ids.at(-1)
    if (last !== undefined && last < end) return void (pass.blob = last)
    pass.blob = undefined
    if (pass.loose <= this.#most) this.#end()
    else if (pass.sparse.size === 0) this.#ended(pass)
  }

  /** As few bytes are unused as may be. */
  #end(): void {
    this.#pass = undefined
    this.#part = 0
  }

  /** There may be more to do: what is sparse now is looked for again. */
  #ended({ relocated }: Pass): void {
    if (relocated === 0 && this.#part === sparseParts.length - 1) return this.#giveUp()
    this.#part = relocated === 0 ? this.#part + 1 : 0
    this.#pass = undefined
    this.#looked = undefined
  }

  /** Nothing can be done now. */
  #giveUp(): void {
    this.#end()
    this.#looked = undefined
    this.#gaveUp = this.#views.table.uncoveredBytes
    this.#rest = longRest * this.#limits.restTicks
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
    if (records.length < scannedMax && found.length === 0) this.#ended(pass)
  }

  /** Keeps the next bytes of the first chunk that was found anew. */
  #relocate(pass: Pass): void {
    // over a thin link it would fill the window, and whoever writes would wait for it
    if (this.#own.isThin && this.#own.anyUnanswered) return
    const [place] = pass.found
    const runs = this.#runsIn(place!, pass.sparse)
    if (runs.length === 0) return void pass.found.shift()
    const payload = this.#read(runs, pass.sparse)
    if (payload === undefined) return
    const operation: RelocateOperation = { kind: 'relocate', ino: place!.ino, length: payload.length, runs }
    this.#changes++
    let isDone = false
    const cancel = this.#own.submit('change', operation, payload, {
      // nobody is told of it before it is committed: what becomes of it concerns no program
      durable: true,
      timeoutMs,
      done: errno => {
        isDone = true
        this.#cancel = undefined
        if (this.#pass === pass) this.#attempt(() => this.#relocated(pass, payload.length, errno))
      },
    })
    if (!isDone) this.#cancel = cancel
  }

  #relocated(pass: Pass, bytes: number, errno: number): void {
    if (errno === 0) pass.relocated += bytes
    // the file is another one now: another pass sees it
    else if (errno === EAGAIN || errno === ENOENT) pass.found.shift()
    // there may be room in a moment
    else if (errno === ENOSPC) {
      this.#looked = undefined
      return this.#end()
    } else return this.#giveUp()
    if (this.#changes < changesMax && pass.found.length > 0) this.#relocate(pass)
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

  /** Undefined: one of them cannot be read, is healed, and left alone in this pass. */
  #read(runs: readonly KeptRun[], sparse: Set<BlobId>): Uint8Array | undefined {
    try {
      const parts = runs.map(({ blob, blobOffset, length }) =>
        this.#blobs.get(blob).subarray(blobOffset, blobOffset + length),
      )
      return concatBytes(
        parts,
        parts.reduce((sum, { length }) => sum + length, 0),
      )
    } catch (error) {
      if (!(error instanceof DamagedBlob)) throw error
      sparse.delete(error.blob)
      return undefined
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
