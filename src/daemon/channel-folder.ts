import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { writeFileAtomic, fsyncDirectory } from '../adapters/host/atomic-file.js'
import type { StoreLog } from '../adapters/sqlite/failures.js'
import { SqliteLogStore } from '../adapters/sqlite/log-store.js'
import { SqliteStateStore } from '../adapters/sqlite/state-store.js'
import { RkfsError } from '../base/errors.js'
import { failpoint } from '../base/failpoint.js'
import { encodeDescriptor, type Descriptor } from '../channel/descriptor.js'
import type { LogOwner } from '../channel/log-port.js'
import { membersRecord } from '../fs/apply.js'
import { rootDirectory, rootInode } from '../fs/records.js'
import { TableView } from '../fs/table-view.js'
import { channelFolder, channelsFolder, isClosed, readDescriptor } from './channels-on-disk.js'
import { nodeHasher } from '../adapters/host/hasher.js'

export { channelFolder, isClosed, readDescriptor }

export function writeDescriptor(folder: string, descriptor: Descriptor): void {
  writeFileAtomic(join(folder, 'descriptor.json'), encodeDescriptor(descriptor))
}

export function setClosed(folder: string, closed: boolean): void {
  const path = join(folder, 'closed')
  if (closed) writeFileAtomic(path, '')
  else rmSync(path, { force: true })
}

/**
 * Makes a channel's folder. The creator's holds the first state: the root directory and the members, at index 1 of a log
 * that goes on from there; a newcomer's is empty and fetches a snapshot. Built beside and renamed, so that it is whole or
 * not there.
 */
export function createChannelFolder(
  home: string,
  descriptor: Descriptor,
  owner: LogOwner,
  creator: boolean,
  log: StoreLog,
): void {
  const folder = channelFolder(home, descriptor.name)
  if (existsSync(folder)) {
    throw new RkfsError(
      'exists',
      `${folder} exists already: this node has, or had, a part in channel ${descriptor.name}`,
    )
  }
  const building = join(channelsFolder(home), `.building-${descriptor.name}`)
  rmSync(building, { recursive: true, force: true })
  mkdirSync(building, { recursive: true, mode: 0o700 })
  fsyncDirectory(home)
  if (creator) {
    const first = { index: 1, term: 1, hash: nodeHasher.sha256(Buffer.from(`rkfs channel ${descriptor.id}`)) }
    const state = SqliteStateStore.open(join(building, 'state.db'), owner, nodeHasher, log)
    const table = new TableView(state, nodeHasher)
    table.set('inode', rootInode, '', { ...rootDirectory(), ...now(), ...creatorOf() })
    table.set('setting', 0, 'members', membersRecord(descriptor.version, encodeDescriptor(descriptor)))
    table.flush(first)
    state.syncNow()
    state.close()
    failpoint('channel-state-made')
    const entries = SqliteLogStore.open(join(building, 'log.db'), owner, nodeHasher, log)
    entries.reset(first)
    entries.commit()
    entries.saveHardState({ term: 1, vote: owner.member })
    entries.syncNow()
    entries.close()
  }
  writeDescriptor(building, descriptor)
  failpoint('channel-built')
  renameSync(building, folder)
  failpoint('channel-moved')
  fsyncDirectory(channelsFolder(home))
}

/** Who makes the channel must be able to write in it. */
function creatorOf(): { uid: number; gid: number } {
  return { uid: process.getuid!(), gid: process.getgid!() }
}

function now(): { atime: bigint; mtime: bigint; ctime: bigint } {
  const time = BigInt(Date.now()) * 1_000_000n
  return { atime: time, mtime: time, ctime: time }
}
