import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ENOENT } from '../../src/base/errno.js'
import type { LostChange } from '../../src/channel/ports.js'
import { Conflicts } from '../../src/daemon/conflicts.js'

const pathOf = (ino: number): string => `/dir/${ino}`

function write(ino: number, offset: number, text: string): LostChange {
  const payload = Buffer.from(text)
  const operation = { kind: 'write', ino, offset, length: payload.length, killPrivileges: false } as const
  return { operation, payload, time: 0n, cause: { kind: 'refused', errno: ENOENT } }
}

t.test('a line that the power tore takes no other with it', t => {
  const folder = t.testdir()
  new Conflicts(folder).add([write(2, 0, 'one')], pathOf)
  appendFileSync(join(folder, 'conflicts', 'list.jsonl'), '{"id":2,"ti')
  const again = new Conflicts(folder)
  again.add([write(3, 0, 'two')], pathOf)
  t.same(
    again.list().map(({ id, path }) => [id, path]),
    [
      [1, '/dir/2'],
      [2, ''],
      [3, '/dir/3'],
    ],
  )
  t.end()
})

t.test('attributes and names are told in words', t => {
  const conflicts = new Conflicts(t.testdir())
  const change = (operation: LostChange['operation']): LostChange => ({ ...write(2, 0, ''), operation })
  const found = conflicts.add(
    [
      change({ kind: 'setattr', ino: 2, size: 7, mode: 0o100640, killPrivileges: false }),
      change({ kind: 'setattr', ino: 2, uid: 5, mtime: 1n, killPrivileges: false }),
      change({ kind: 'unlink', parent: 3, name: 'a b' }),
      change({ kind: 'rename', parent: 3, name: 'a', newParent: 4, newName: 'b', flags: 0 }),
    ],
    pathOf,
  )
  t.same(
    found.map(({ path, what }) => `${path}: ${what}`),
    [
      '/dir/2: size set to 7, mode set to 640',
      '/dir/2: owner set to 5:, times set',
      '/dir/3: "a b" removed from it',
      '/dir/3: "a" renamed to "b"',
    ],
  )
  t.end()
})
