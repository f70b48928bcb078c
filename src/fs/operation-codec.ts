import { ByteReader, ByteWriter, fromHex, malformed, toHex } from '../base/bytes.js'
import {
  accessTimesMax,
  chunkBytes,
  fileSizeMax,
  keptRunsMax,
  nameBytesMax,
  payloadBytesMax,
  storedRunsMax,
} from '../base/limits.js'
import type { MakeOperation, Operation, RelocateOperation, RenameOperation, StoredRun } from './operation.js'

const memberIdBytes = 8

/** The place of a kind in this list is its number: new ones come last. */
const kinds = [
  'mark',
  'make',
  'link',
  'unlink',
  'rmdir',
  'rename',
  'setattr',
  'write',
  'append',
  'allocate',
  'setxattr',
  'removexattr',
  'members',
  'clone',
  'access',
  // a `make` whose mode the umask and the parent's default ACL decide on
  'make-masked',
  // a `rename` that leaves a whiteout
  'rename-whiteout',
  'open-session',
  'end-session',
  'write-back',
  // an `open-session` that says of how many extents a chunk is kept as pages
  'open-session-paged',
  'relocate',
  'refuse',
] as const satisfies readonly (Operation['kind'] | 'make-masked' | 'rename-whiteout' | 'open-session-paged')[]

/** One byte of kind, then the fields, little-endian (`base/bytes.ts`). The format's version stands in the entry. */
export function encodeOperation(operation: Operation): Uint8Array {
  const writer = new ByteWriter(64)
  writer.u8(kinds.indexOf(formOf(operation)))
  switch (operation.kind) {
    case 'mark':
      writer.u64(operation.id)
      break
    case 'make':
      writer.u64(operation.parent).binary(operation.name).u64(operation.ino).u32(operation.mode)
      writer.u32(operation.uid).u32(operation.gid).u32(operation.rdev).binary(operation.target)
      if (operation.umask !== undefined) writer.u32(operation.umask)
      break
    case 'link':
      writer.u64(operation.ino).u64(operation.parent).binary(operation.name)
      break
    case 'unlink':
    case 'rmdir':
      writer.u64(operation.parent).binary(operation.name)
      break
    case 'rename':
      writer.u64(operation.parent).binary(operation.name).u64(operation.newParent).binary(operation.newName)
      writer.u32(operation.flags)
      if (operation.whiteout !== undefined) writer.u64(operation.whiteout)
      break
    case 'setattr': {
      const { mode, uid, gid, size, atime, mtime } = operation
      let present = 0
      for (const [bit, value] of [mode, uid, gid, size, atime, mtime].entries()) {
        if (value !== undefined) present |= 1 << bit
      }
      writer
        .u64(operation.ino)
        .u8(present)
        .u8(operation.killPrivileges ? 1 : 0)
      if (mode !== undefined) writer.u32(mode)
      if (uid !== undefined) writer.u32(uid)
      if (gid !== undefined) writer.u32(gid)
      if (size !== undefined) writer.u64(size)
      if (atime !== undefined) writer.i64(atime)
      if (mtime !== undefined) writer.i64(mtime)
      break
    }
    case 'write':
      writer
        .u64(operation.ino)
        .u64(operation.offset)
        .u32(operation.length)
        .u8(operation.killPrivileges ? 1 : 0)
      break
    case 'append':
      writer
        .u64(operation.ino)
        .u32(operation.length)
        .u8(operation.killPrivileges ? 1 : 0)
      break
    case 'write-back':
      writer.u64(operation.ino).u64(operation.offset).u32(operation.length).u64(operation.base)
      encodeRuns(writer, operation.stored)
      break
    case 'allocate':
      writer.u64(operation.ino).u32(operation.mode).u64(operation.offset).u64(operation.length)
      break
    case 'setxattr':
      writer.u64(operation.ino).binary(operation.name).u32(operation.flags).bytes(operation.value)
      break
    case 'removexattr':
      writer.u64(operation.ino).binary(operation.name)
      break
    case 'members':
      writer.u64(operation.version).bytes(operation.descriptor)
      break
    case 'clone':
      writer.u64(operation.source).u64(operation.sourceOffset)
      writer.u64(operation.ino).u64(operation.offset).u64(operation.length)
      break
    case 'relocate':
      writer.u64(operation.ino).u32(operation.runs.length)
      for (const run of operation.runs) writer.u64(run.offset).u32(run.length).u64(run.blob).u32(run.blobOffset)
      break
    case 'access':
      writer.u32(operation.times.length)
      for (const { ino, atime } of operation.times) writer.u64(ino).i64(atime)
      break
    case 'open-session':
      if (operation.chunkExtents !== undefined) writer.u32(operation.chunkExtents)
      break
    case 'refuse':
      writer.raw(fromHex(operation.member)).u64(operation.session).u64(operation.sequence).u32(operation.errno)
      break
    case 'end-session':
      writer.raw(fromHex(operation.member))
      break
  }
  return writer.done()
}

/** Throws `corrupt` for bytes that `encodeOperation` did not make, and for values that no mount would send. */
export function decodeOperation(bytes: Uint8Array): Operation {
  const reader = new ByteReader(bytes, 'operation')
  const operation = decodeFields(reader)
  reader.end()
  return operation
}

function decodeFields(reader: ByteReader): Operation {
  const kind = kinds[reader.u8()]
  switch (kind) {
    case 'mark':
      return { kind, id: reader.u64() }
    case 'make':
      return make(reader)
    case 'make-masked':
      return { ...make(reader), umask: reader.u32() }
    case 'link':
      return { kind, ino: reader.u64(), parent: reader.u64(), name: name(reader) }
    case 'unlink':
    case 'rmdir':
      return { kind, parent: reader.u64(), name: name(reader) }
    case 'rename':
      return rename(reader)
    case 'rename-whiteout':
      return { ...rename(reader), whiteout: reader.u64() }
    case 'setattr': {
      const ino = reader.u64()
      const present = reader.u8()
      if (present > 63) throw malformed('operation: unknown attributes')
      const killPrivileges = flag(reader)
      return {
        kind,
        ino,
        killPrivileges,
        ...(present & 1 ? { mode: reader.u32() } : {}),
        ...(present & 2 ? { uid: reader.u32() } : {}),
        ...(present & 4 ? { gid: reader.u32() } : {}),
        ...(present & 8 ? { size: reader.u64() } : {}),
        ...(present & 16 ? { atime: reader.i64() } : {}),
        ...(present & 32 ? { mtime: reader.i64() } : {}),
      }
    }
    case 'write': {
      const operation = {
        kind,
        ino: reader.u64(),
        offset: reader.u64(),
        length: length(reader),
        killPrivileges: flag(reader),
      }
      if (operation.offset > fileSizeMax) throw malformed('operation: a write beyond the largest file')
      return operation
    }
    case 'append':
      return { kind, ino: reader.u64(), length: length(reader), killPrivileges: flag(reader) }
    case 'write-back': {
      const operation = {
        kind,
        ino: reader.u64(),
        offset: reader.u64(),
        length: length(reader),
        base: reader.u64(),
      }
      if (operation.offset > fileSizeMax) throw malformed('operation: a write beyond the largest file')
      return { ...operation, stored: decodeRuns(reader, operation.length) }
    }
    case 'allocate':
      return { kind, ino: reader.u64(), mode: reader.u32(), offset: reader.u64(), length: reader.u64() }
    case 'setxattr':
      return { kind, ino: reader.u64(), name: name(reader), flags: reader.u32(), value: reader.bytes().slice() }
    case 'removexattr':
      return { kind, ino: reader.u64(), name: name(reader) }
    case 'members':
      return { kind, version: reader.u64(), descriptor: reader.bytes().slice() }
    case 'clone':
      return {
        kind,
        source: reader.u64(),
        sourceOffset: reader.u64(),
        ino: reader.u64(),
        offset: reader.u64(),
        length: reader.u64(),
      }
    case 'relocate':
      return relocate(reader)
    case 'access': {
      const count = reader.u32()
      if (count > accessTimesMax) throw malformed('operation: too many access times')
      return { kind, times: Array.from({ length: count }, () => ({ ino: reader.u64(), atime: reader.i64() })) }
    }
    case 'open-session':
      return { kind }
    case 'open-session-paged': {
      const chunkExtents = reader.u32()
      if (chunkExtents === 0) throw malformed('operation: pages of nothing')
      return { kind: 'open-session', chunkExtents }
    }
    case 'refuse':
      return {
        kind,
        member: toHex(reader.raw(memberIdBytes)),
        session: reader.u64(),
        sequence: reader.u64(),
        errno: reader.u32(),
      }
    case 'end-session':
      return { kind, member: toHex(reader.raw(memberIdBytes)) }
    case undefined:
      throw malformed('operation: unknown kind')
  }
}

/** Each run as the count of bytes that are not stored before it, and its length. */
function encodeRuns(writer: ByteWriter, runs: readonly StoredRun[]): void {
  writer.u32(runs.length)
  let end = 0
  for (const { at, length } of runs) {
    encodeCount(writer, at - end)
    encodeCount(writer, length)
    end = at + length
  }
}

function decodeRuns(reader: ByteReader, lengthMax: number): StoredRun[] {
  const count = reader.u32()
  if (count > storedRunsMax) throw malformed('operation: too many runs of stored bytes')
  const runs: StoredRun[] = []
  let end = 0
  for (let i = 0; i < count; i++) {
    const gap = decodeCount(reader)
    const length = decodeCount(reader)
    if (length === 0 || (i > 0 && gap === 0)) throw malformed('operation: an empty run of bytes')
    runs.push({ at: end + gap, length })
    end += gap + length
    if (end > lengthMax) throw malformed('operation: stored bytes behind its end')
  }
  return runs
}

/** Most counts are small: one byte, or this one and four more. */
const longCount = 255

function encodeCount(writer: ByteWriter, count: number): void {
  if (count < longCount) writer.u8(count)
  else writer.u8(longCount).u32(count)
}

function decodeCount(reader: ByteReader): number {
  const short = reader.u8()
  if (short < longCount) return short
  const count = reader.u32()
  if (count < longCount) throw malformed('operation: a count')
  return count
}

/** An operation with a field that most of its kind do not have is written as a kind of its own. */
function formOf(operation: Operation): (typeof kinds)[number] {
  if (operation.kind === 'make' && operation.umask !== undefined) return 'make-masked'
  if (operation.kind === 'rename' && operation.whiteout !== undefined) return 'rename-whiteout'
  if (operation.kind === 'open-session' && operation.chunkExtents !== undefined) return 'open-session-paged'
  return operation.kind
}

function rename(reader: ByteReader): RenameOperation {
  return {
    kind: 'rename',
    parent: reader.u64(),
    name: name(reader),
    newParent: reader.u64(),
    newName: name(reader),
    flags: reader.u32(),
  }
}

function relocate(reader: ByteReader): RelocateOperation {
  const ino = reader.u64()
  const count = reader.u32()
  if (count === 0 || count > keptRunsMax) throw malformed('operation: too many runs of kept bytes, or none')
  let length = 0
  const runs = Array.from({ length: count }, () => {
    const run = { offset: reader.u64(), length: reader.u32(), blob: reader.u64(), blobOffset: reader.u32() }
    length += run.length
    if (run.length === 0 || length > chunkBytes)
      throw malformed('operation: runs of kept bytes that are too long, or empty')
    if (run.offset > fileSizeMax) throw malformed('operation: kept bytes beyond the largest file')
    return run
  })
  return { kind: 'relocate', ino, length, runs }
}

function make(reader: ByteReader): MakeOperation {
  return {
    kind: 'make',
    parent: reader.u64(),
    name: name(reader),
    ino: reader.u64(),
    mode: reader.u32(),
    uid: reader.u32(),
    gid: reader.u32(),
    rdev: reader.u32(),
    target: reader.binary(),
  }
}

function name(reader: ByteReader): string {
  const text = reader.binary()
  if (text.length === 0 || text.length > nameBytesMax || text.includes('\0')) throw malformed('operation: a bad name')
  return text
}

function length(reader: ByteReader): number {
  const value = reader.u32()
  if (value > payloadBytesMax) throw malformed('operation: a write that is too long')
  return value
}

function flag(reader: ByteReader): boolean {
  const value = reader.u8()
  if (value > 1) throw malformed('operation: a flag')
  return value === 1
}
