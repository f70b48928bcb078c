import { readPieces } from '../../src/fs/extents.js'
import type { TableView } from '../../src/fs/table-view.js'
import { Machine, newTable } from '../fs/support/machine.js'

/*
 * Processor time of what a state machine does with 131,072 extents of one byte in one chunk: `npx tsx
 * test/bench/fragmented-file.ts`. What a channel does in one turn is counted in `test/channel/longest-turn.test.ts`.
 */
const extents = 131_072

const table: TableView = newTable()
const machine = new Machine(table)

function timed(what: string, times: number, act: (i: number) => number): void {
  const began = process.cpuUsage()
  for (let i = 0; i < times; i++) if (act(i) !== 0) throw new Error(what)
  const { user, system } = process.cpuUsage(began)
  const ms = (user + system) / 1000
  console.log(`${what.padEnd(40)} ${ms.toFixed(1).padStart(8)} ms ${(ms / times).toFixed(4).padStart(9)} ms each`)
}

function write(offset: number, length: number): number {
  return machine.apply({ kind: 'write', ino: 10, offset, length, killPrivileges: false }, new Uint8Array(length))
}

function flush(): number {
  table.flush({ index: machine.number, term: 1, hash: new Uint8Array(32) })
  return 0
}

for (const [name, ino] of [
  ['a', 10],
  ['b', 11],
] as const) {
  const made = { kind: 'make', parent: 1, name, ino, mode: 0o100644, uid: 0, gid: 0, rdev: 0, target: '' } as const
  machine.apply(made)
}
timed('a byte at every second one', extents, i => write(2 * i, 1))
timed('a byte over each, in no order', 20_000, i => write(2 * ((i * 7919) % extents), 1))
timed('digest', 1, () => (table.digest(), 0))
timed('flush, to memory', 1, flush)
timed('a byte, and a flush of its page', 1, () => write(4, 1) + flush())
timed('pieces of a read of 128 KiB', 1, () => (readPieces(table, 10, 0, 131_072), 0))
const part = 4096
timed('copy, 2048 extents each', 64, i =>
  machine.apply({ kind: 'clone', source: 10, sourceOffset: i * part, ino: 11, offset: i * part, length: part - 1 }),
)
timed('one write over all', 1, () => write(0, 262_144))
timed('unlink of the copy', 1, () => machine.apply({ kind: 'unlink', parent: 1, name: 'b' }))
