/** What may take space on a member's disk beside the live data, and who has room for more: pure arithmetic, in bytes. */
import { MiB } from '../base/limits.js'

/** The disk that a member's copy lies on. */
export interface DiskSpace {
  readonly totalBytes: number
  /** What this node may still write. */
  readonly freeBytes: number
}

/** What people chose; undefined: the default. */
export interface SpaceSettings {
  /** Log and dead bytes beside the live data; for a member that is away it is at least so much, too. */
  readonly keepBytes?: number | undefined
  /** With less than this free no new content is taken; in bytes, or as a part of the disk. */
  readonly minFreeBytes?: number | undefined
  readonly minFreePart?: number | undefined
}

const keepBytesLeast = 64 * MiB
const absentBytesLeast = 512 * MiB
const minFreeBytesUsual = 64 * MiB
const minFreeBytesMost = 1024 * MiB
/** Of a small disk no more than this part is kept free. */
const minFreePartMost = 1 / 16
/** The reserve file: half of what is kept free, between these. */
const reserveBytesLeast = MiB
const reserveBytesMost = 16 * MiB

/** 64 MiB; of larger disks 1 %, up to 1 GiB; of small ones a sixteenth. */
export function minFreeOf(totalBytes: number, { minFreeBytes, minFreePart }: SpaceSettings): number {
  if (minFreeBytes !== undefined) return minFreeBytes
  if (minFreePart !== undefined) return Math.floor(totalBytes * minFreePart)
  const usual = Math.min(minFreeBytesMost, Math.max(minFreeBytesUsual, totalBytes / 100))
  return Math.floor(Math.min(usual, totalBytes * minFreePartMost))
}

/** How large the file is that is given up when even what must pass finds no room. */
export function reserveOf(totalBytes: number, settings: SpaceSettings): number {
  const half = minFreeOf(totalBytes, settings) / 2
  return Math.floor(Math.min(reserveBytesMost, Math.max(reserveBytesLeast, half)))
}

/** The files that are in use take so much of what is kept at most, and of the disk. */
const filesPart = 1 / 8
const filesPartOfDisk = 1 / 64
const segmentBytesUsual = 16 * MiB
const walBytesUsual = 16 * MiB

/** The size of a segment of the log, and that of a WAL at which it is checkpointed. */
export function fileSizes(totalBytes: number, { keepBytes }: SpaceSettings): { segment: number; wal: number } {
  const most = Math.min((keepBytes ?? Infinity) * filesPart, totalBytes * filesPartOfDisk)
  return {
    segment: Math.floor(Math.max(MiB, Math.min(segmentBytesUsual, most))),
    wal: Math.floor(Math.max(MiB, Math.min(walBytesUsual, most / 2))),
  }
}

/** How a member's disk stands. */
export interface OwnDisk extends DiskSpace {
  readonly minFree: number
  /** Bytes of live data. */
  readonly live: number
  /** Bytes of its files that are neither live data nor needed by anybody. */
  readonly spare: number
}

/** How many bytes of log and dead content may stay. */
export interface Keep {
  /** What nobody lacks, for who comes back soon. */
  readonly usual: number
  /** What a member lacks that is there. */
  readonly present: number
  /** What only members lack that are away, or full. */
  readonly absent: number
}

/**
 * Of what may be kept beside the live data: the log; what is dead in complete segments; what no file uses of blobs that are in
 * use. The rest is for the files in use.
 */
export const keepParts = { log: 3 / 8, dead: 1 / 4, loose: 1 / 8 }

/** Its disk has little more than what is kept free: nothing is kept on any member for who is away. */
export function isShort(freeBytes: number, minFree: number): boolean {
  return freeBytes < 2 * minFree
}

/** `anyShort`: some member's disk is, this one's or another's. */
export function keepOf(disk: OwnDisk, settings: SpaceSettings, anyShort: boolean): Keep {
  const { freeBytes, spare, minFree, live } = disk
  const asked = settings.keepBytes
  // all that could be free, less what must be
  const sparable = Math.max(0, freeBytes + spare - 3 * minFree)
  const usual = Math.floor(Math.min(asked ?? Math.max(keepBytesLeast, live / 4), sparable / 4))
  const forAbsent = Math.max(asked ?? 0, absentBytesLeast, live)
  const absent = anyShort ? usual : Math.max(usual, Math.floor(Math.min(forAbsent, sparable / 2)))
  // who is sent entries would never come to the end of it by snapshots alone
  return { usual, absent, present: Math.max(absent, Math.min(minFree, keepBytesLeast)) }
}

/** The log of a member, as far as what may go of it is concerned. */
export interface RetainedLog {
  readonly firstIndex: number
  /** Headers and payloads of all its entries. */
  readonly bytes: number
  sizeOf(index: number): number
}

export interface LogNeeds {
  /** Entries beyond this are needed here. */
  readonly ceiling: number
  /** All members hold everything up to here … */
  readonly heldByAll: number
  /** … and all that are there, and not full, up to here. */
  readonly heldByPresent: number
  /** Entries that stay behind what all hold, as far as there is room. */
  readonly margin: number
  /** Entries that are kept for those that are away at most. */
  readonly entriesMax: number
}

/** Entries that one call looks at. */
const lookedAtMax = 4096

/** The last entry that may go; `firstIndex - 1`: none. What is larger than what may be kept goes, oldest first. */
export function dropTarget(log: RetainedLog, needs: LogNeeds, keep: Keep): number {
  const { ceiling, heldByAll, heldByPresent, margin, entriesMax } = needs
  const from = Math.min(Math.max(heldByAll, ceiling - entriesMax), ceiling) - margin
  let { bytes } = log
  let target = log.firstIndex - 1
  for (let index = log.firstIndex; index <= ceiling && index - log.firstIndex < lookedAtMax; index++) {
    const most = index > heldByPresent ? keep.present : index > heldByAll ? keep.absent : keep.usual
    if (index > from && bytes <= most) break
    bytes -= log.sizeOf(index)
    target = index
  }
  return target
}

/** What a member says of its disk. */
export interface ToldSpace {
  /** Free bytes. */
  readonly free: number
  readonly minFree: number
  /** Bytes that it would give back by itself if there were need. */
  readonly spare: number
  /** It has given back all that it can. */
  readonly exhausted: boolean
}

/** What one voter can take; `taken`: bytes ordered since it said so. */
export interface VoterSpace {
  readonly told: ToldSpace
  readonly taken: number
}

export type Verdict =
  | 'room'
  /** Somebody is giving back what it does not need: there will be room, or it is full. */
  | 'wait'
  | 'full'

function verdictOf({ told, taken }: VoterSpace, bytes: number, part: number): Verdict {
  if (told.free - taken - bytes >= told.minFree * part) return 'room'
  return told.exhausted ? 'full' : 'wait'
}

/**
 * Whether so many bytes of new content can be ordered: so many voters as decide (`needed`) must have room. Of voters that
 * never told of their disk (`unknown`) it is assumed. `part`: of what they keep free, so much must stay.
 */
export function orderVerdict(
  voters: readonly VoterSpace[],
  unknown: number,
  needed: number,
  bytes: number,
  part = 1,
): Verdict {
  const verdicts = voters.map(voter => verdictOf(voter, bytes, part))
  const room = unknown + verdicts.filter(verdict => verdict === 'room').length
  // where too few are there it is no matter of space
  if (room >= needed || room === unknown + verdicts.length) return 'room'
  return room + verdicts.filter(verdict => verdict === 'wait').length >= needed ? 'wait' : 'full'
}

/** What can really be written, in bytes: by this member (`own`), and by the `needed` voters that have most room. */
export function writableBytes(own: VoterSpace, voters: readonly VoterSpace[], unknown: number, needed: number): number {
  const room = roomOf(own)
  if (unknown >= needed) return room
  const rooms = voters.map(roomOf).sort((a, b) => b - a)
  return Math.min(room, rooms[Math.min(needed - unknown, rooms.length) - 1] ?? room)
}

function roomOf({ told, taken }: VoterSpace): number {
  return Math.max(0, told.free + told.spare - told.minFree - taken)
}
