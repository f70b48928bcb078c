import fs, { readdirSync, rmSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { dirname, join } from 'node:path'
import t from 'tap'
import { SqliteLogStore } from '../../../src/adapters/sqlite/log-store.js'
import { SqliteStateStore } from '../../../src/adapters/sqlite/state-store.js'
import { hasher, owner, quiet, tempFolder } from '../../contracts/entries.js'
import { logStoreContract } from '../../contracts/log-store.js'
import { stateStoreContract } from '../../contracts/state-store.js'
import { damageBlob } from '../../support/damage-blob.js'
import { MemoryLogStore } from '../../support/memory-log-store.js'
import { MemoryStateStore } from '../../support/memory-state-store.js'

const folders: string[] = []
t.teardown(() => folders.forEach(one => rmSync(one, { recursive: true, force: true })))
const paths = new WeakMap<object, string>()

function place(name: string): string {
  const folder = tempFolder()
  folders.push(folder)
  return join(folder, name)
}

function opened<T extends object>(store: T, path: string): T {
  paths.set(store, path)
  return store
}

/** The next fdatasync(2) of this process fails. */
function failNextSync(): void {
  const { fdatasync, fdatasyncSync } = fs
  const restore = (): Error => {
    Object.assign(fs, { fdatasync, fdatasyncSync })
    syncBuiltinESMExports()
    return Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' })
  }
  fs.fdatasync = ((_file: number, done: (error: Error) => void) => {
    const error = restore()
    setImmediate(done, error)
  }) as typeof fs.fdatasync
  fs.fdatasyncSync = () => {
    throw restore()
  }
  syncBuiltinESMExports()
}

/** Closes a store, sees that nothing is left beside it, and opens it again. */
function reopen<T extends { close(): void }>(store: T, open: (path: string) => T, isSound = true): T {
  const path = paths.get(store)!
  store.close()
  t.notOk(
    isSound && readdirSync(dirname(path)).some(one => /-wal$|-shm$|\.new/.test(one)),
    'no WAL is left after a clean close',
  )
  return opened(open(path), path)
}

const openLog = (path: string): SqliteLogStore => SqliteLogStore.open(path, owner, hasher, quiet)
const openState = (path: string): SqliteStateStore => SqliteStateStore.open(path, owner, hasher, quiet)

logStoreContract('memory log', {
  open: () => new MemoryLogStore(),
  damage: (store, id) => (store as MemoryLogStore).damage(id),
  failSync: store => ((store as MemoryLogStore).failNext = 'sync'),
})
stateStoreContract('memory state', { open: () => new MemoryStateStore() })
logStoreContract('SQLite log', {
  open() {
    const path = place('log.db')
    return opened(openLog(path), path)
  },
  reopen: (store, isSound) => reopen(store as SqliteLogStore, openLog, isSound),
  damage: (store, id) => {
    t.ok(damageBlob(dirname(paths.get(store)!), id))
  },
  failSync: () => failNextSync(),
})
stateStoreContract('SQLite state', {
  open() {
    const path = place('state.db')
    return opened(openState(path), path)
  },
  reopen: store => reopen(store as SqliteStateStore, openState),
})
