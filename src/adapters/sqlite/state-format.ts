import { ByteReader, ByteWriter, fromLatin1, latin1 } from '../../base/bytes.js'
import { assert } from '../../base/assert.js'
import type { Hasher } from '../../base/hash.js'
import { MiB } from '../../base/limits.js'
import { type AppliedPosition, chunkKey, type Table, tables } from '../../fs/store-port.js'
import { crcFrom } from './log-format.js'
import type { FileFormat } from './wal-database.js'

const named = (name: string): string =>
  `CREATE TABLE ${name} (ino INTEGER, key BLOB, value BLOB NOT NULL, PRIMARY KEY (ino, key)) WITHOUT ROWID;`

/** `state.db`. Names of tables are those of the port. */
export const stateFormat: FileFormat = {
  name: 'state.db',
  applicationId: 0x726b6673,
  version: 1,
  pageBytes: 4096,
  cacheBytes: 32 * MiB,
  checkpointBytes: 16 * MiB,
  schema: `
    CREATE TABLE inode (ino INTEGER PRIMARY KEY, value BLOB NOT NULL);
    CREATE TABLE chunk (ino INTEGER, key INTEGER, value BLOB NOT NULL, PRIMARY KEY (ino, key)) WITHOUT ROWID;
    ${named('entry')} ${named('xattr')} ${named('session')} ${named('setting')}
    CREATE TABLE blob_live (blob INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, crc INTEGER NOT NULL);
    CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
  `,
}

/** A key as SQLite stores it. */
export type StoredKey = Buffer | number

export function storedKey(table: Table, key: string): StoredKey {
  if (table === 'chunk') {
    const number = parseInt(key, 16)
    assert(chunkKey(number) === key, `"${key}" is not the key of a chunk`)
    return number
  }
  return Buffer.from(key, 'latin1')
}

export function portKey(table: Table, stored: unknown): string | undefined {
  if (table === 'chunk') return typeof stored === 'number' ? chunkKey(stored) : undefined
  return Buffer.isBuffer(stored) ? stored.toString('latin1') : undefined
}

const fnvPrime = 0x01000193

/**
 * CRC-32 of the value, begun with FNV-1a over table, inode and key: any one changed byte of the four shows. (CRC-32
 * over all of them costs a second call into zlib, a microsecond of the five that a `get` takes.)
 */
export function recordCrc(table: Table, ino: number, key: string, value: Uint8Array, hasher: Hasher): number {
  let seed = Math.imul(0x811c9dc5 ^ tables.indexOf(table), fnvPrime)
  seed = Math.imul(seed ^ (ino % 4294967296), fnvPrime)
  seed = Math.imul(seed ^ Math.floor(ino / 4294967296), fnvPrime)
  for (let at = 0; at < key.length; at++) seed = Math.imul(seed ^ key.charCodeAt(at), fnvPrime)
  return crcFrom(seed >>> 0, value, hasher)
}

/** A value with its CRC after it. */
export function seal(table: Table, ino: number, key: string, value: Uint8Array, hasher: Hasher): Uint8Array {
  const sealed = Buffer.allocUnsafe(value.length + 4)
  sealed.set(value)
  sealed.writeUInt32LE(recordCrc(table, ino, key, value, hasher), value.length)
  return sealed
}

/** Undefined when the CRC does not match. */
export function unseal(
  table: Table,
  ino: number,
  key: string,
  sealed: unknown,
  hasher: Hasher,
): Uint8Array | undefined {
  if (!Buffer.isBuffer(sealed) || sealed.length < 4) return undefined
  const length = sealed.length - 4
  const value = sealed.subarray(0, length)
  return sealed.readUInt32LE(length) === recordCrc(table, ino, key, value, hasher) ? value : undefined
}

export function liveCrc(blob: number, bytes: number, hasher: Hasher): number {
  return hasher.crc32(new ByteWriter(16).u64(blob).u64(bytes).done())
}

export function encodePosition(position: AppliedPosition): Uint8Array {
  const { index, term, hash, digest, inodes, dataBytes } = position
  return new ByteWriter(96).u64(index).u64(term).raw(hash).raw(digest).u64(inodes).u64(dataBytes).done()
}

export function decodePosition(bytes: Uint8Array): AppliedPosition {
  const reader = new ByteReader(bytes, 'applied position')
  const position = {
    index: reader.u64(),
    term: reader.u64(),
    hash: Uint8Array.from(reader.raw(32)),
    digest: Uint8Array.from(reader.raw(32)),
    inodes: reader.u64(),
    dataBytes: reader.u64(),
  }
  reader.end()
  return position
}

/** A record as messages and damage reports name it. */
export function recordName(table: Table, ino: number, key: string): string {
  return `record ${table} ${ino}${key === '' ? '' : ` ${JSON.stringify(latin1(fromLatin1(key)))}`}`
}
