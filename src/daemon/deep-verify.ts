import { createHash } from 'node:crypto'
import type { SnapshotReader } from '../adapters/sqlite/snapshot.js'
import { messageOf } from '../base/errors.js'
import { toHex } from '../base/bytes.js'
import { chunkBytes } from '../base/limits.js'
import { DamagedBlob } from '../channel/log-port.js'
import { isPaged } from '../fs/chunks.js'
import { type Chunk, decodeRecord, type Extent, isRegular } from '../fs/records.js'
import { pageKey, pagesBegin, pagesPerChunk, placeOfChunk } from '../fs/store-port.js'
import { recordHash } from '../fs/table-view.js'
import { nodeHasher } from '../adapters/host/hasher.js'

/** What a member found when it read all that it holds. */
export interface DeepResult {
  /** Digest recomputed from the stored records, hexadecimal. */
  readonly digest: string
  /** SHA-256 over the number, size and SHA-256 of every file's content, in order of their numbers. */
  readonly content: string
  readonly files: number
  readonly bytes: number
  readonly problems: string[]
  /** Blobs that were damaged and came from another member. */
  readonly healed: number
}

const problemsMax = 20

/** Runs in a snapshot's worker: reads every record and every byte. `progress` gets the bytes read so far. */
export async function deepVerify(
  reader: SnapshotReader,
  _args: unknown,
  progress: (bytes: number) => void,
): Promise<DeepResult> {
  const digest = new Uint8Array(32)
  const content = createHash('sha256')
  const problems: string[] = []
  let files = 0
  let bytes = 0
  let reported = 0
  let healed = 0
  const problem = (text: string): void => {
    if (problems.length < problemsMax) problems.push(text)
  }
  const mend = async (error: DamagedBlob): Promise<Uint8Array | undefined> => {
    const mended = await reader.mend(error)
    if (mended !== undefined) healed++
    return mended
  }
  for (const { table, ino, key, value } of reader.all()) {
    const hash = recordHash(nodeHasher, table, ino, key, value)
    for (let i = 0; i < 32; i++) digest[i]! ^= hash[i]!
    if (table !== 'inode') continue
    const inode = decodeRecord('inode', value)
    if (!isRegular(inode)) continue
    files++
    content.update(`${ino} ${inode.size} ${await fileHash(reader, ino, inode.size, mend, problem)}\n`)
    bytes += inode.size
    if (bytes - reported > 64 << 20) progress((reported = bytes))
  }
  const stored = reader.position === undefined ? '' : toHex(reader.position.digest)
  if (stored !== toHex(digest)) problem('the stored records do not amount to the stored digest')
  return { digest: toHex(digest), content: content.digest('hex'), files, bytes, problems, healed }
}

/** A hole from this size on counts by its length: a sparse file may be larger than can ever be read. */
const largeHoleBytes = 64 << 20
const zeros = new Uint8Array(chunkBytes)

/** SHA-256 of a file's bytes; small holes count as zeros. */
async function fileHash(
  reader: SnapshotReader,
  ino: number,
  size: number,
  mend: SnapshotReader['mend'],
  problem: (text: string) => void,
): Promise<string> {
  const hash = createHash('sha256')
  let at = 0
  const fill = (until: number): void => {
    if (until - at > largeHoleBytes) {
      hash.update(`${until - at} zeros`)
      at = until
    }
    while (at < until) {
      const length = Math.min(until - at, zeros.length)
      hash.update(length === zeros.length ? zeros : zeros.subarray(0, length))
      at += length
    }
  }
  let after: string | undefined
  for (;;) {
    const chunks = reader.scan('chunk', ino, after, 64, pagesBegin)
    for (const { key, value } of chunks) {
      after = key
      const { chunk } = placeOfChunk(key)
      const base = chunk * chunkBytes
      for (const extent of extentsOf(reader, ino, chunk, decodeRecord('chunk', value))) {
        fill(base + extent.start)
        try {
          const blob = await readOrMend(reader, extent.blob, mend)
          if (blob.length < extent.offset + extent.length) problem(`inode ${ino}: blob ${extent.blob} is short`)
          else hash.update(blob.subarray(extent.offset, extent.offset + extent.length))
        } catch (error) {
          problem(`inode ${ino}: ${messageOf(error)}`)
        }
        at += extent.length
      }
    }
    if (chunks.length < 64) break
  }
  fill(size)
  return hash.digest('hex')
}

/** The extents of a chunk, which may be kept as pages. */
function* extentsOf(reader: SnapshotReader, ino: number, chunk: number, record: Chunk): Generator<Extent> {
  if (!isPaged(record)) return yield* record
  for (let page = 0; page < pagesPerChunk; page++) {
    const value = reader.get('chunk', ino, pageKey(chunk, page))
    if (value !== undefined) yield* decodeRecord('chunk', value)
  }
}

async function readOrMend(reader: SnapshotReader, id: number, mend: SnapshotReader['mend']): Promise<Uint8Array> {
  let damage: DamagedBlob
  try {
    const blob = reader.blob(id)
    if (blob !== undefined) return blob
    damage = new DamagedBlob(id, `blob ${id} is missing`)
  } catch (error) {
    if (!(error instanceof DamagedBlob)) throw error
    damage = error
  }
  const mended = await mend(damage)
  if (mended === undefined) throw damage
  return mended
}
