import Database from 'better-sqlite3'
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { segmentName, segmentsName } from '../../src/adapters/sqlite/segment-reader.js'
import type { BlobId } from '../../src/channel/log-port.js'

/** Where a blob lies in the segments beside `log.db`; undefined for one that does not, or not yet. */
export function placeOfBlob(folder: string, id: BlobId): { segment: string; offset: number } | undefined {
  const db = new Database(join(folder, 'log.db'), { readonly: true })
  try {
    const row = db.prepare('SELECT segment, offset FROM bulk WHERE id = ?').raw().get(id) as number[] | undefined
    return row && { segment: join(folder, segmentsName, segmentName(row[0]!)), offset: row[1]! }
  } finally {
    db.close()
  }
}

/** Flips a bit of a blob on the disk. Answers false for one that does not lie in a segment. */
export function damageBlob(folder: string, id: BlobId): boolean {
  const place = placeOfBlob(folder, id)
  if (place === undefined) return false
  const file = openSync(place.segment, 'r+')
  const byte = new Uint8Array(1)
  readSync(file, byte, 0, 1, place.offset)
  writeSync(file, Uint8Array.of(byte[0]! ^ 1), 0, 1, place.offset)
  closeSync(file)
  return true
}
