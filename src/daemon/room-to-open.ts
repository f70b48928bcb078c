import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { segmentsName } from '../adapters/sqlite/segment-reader.js'
import { spareName } from '../adapters/sqlite/segment-files.js'
import type { DiskReserve } from '../adapters/host/disk-reserve.js'
import { MiB } from '../base/limits.js'

/** What opening both databases takes: an index of its WAL for each, and what is settled then. */
const openingBytes = 2 * MiB

/** A node starts on a disk without a free byte: what it has kept back for that is given up. */
export function makeRoomToOpen(disk: DiskReserve, folder: string): void {
  const space = disk.space()
  if (space === undefined || space.freeBytes >= openingBytes) return
  disk.release()
  // it holds nothing: a start removes it anyway
  rmSync(join(folder, segmentsName, spareName), { force: true })
}

/** At the end: the next start may find that others have taken all that is free now. */
export function leaveRoomToOpen(disk: DiskReserve): void {
  for (let bytes = disk.reserveBytes; disk.reserveBytes < openingBytes && bytes < openingBytes; bytes += MiB) {
    disk.restock(Math.min(openingBytes, bytes + MiB), 0)
  }
}
