/** When a member says that its disk has room again. */
import t from 'tap'
import { RkfsError } from '../../src/base/errors.js'
import { Durability } from '../../src/channel/durability.js'
import { Health } from '../../src/channel/health.js'

function made(): {
  health: Health
  durability: Durability
  log: { dirty: boolean }
  disk: { free: number }
  said: string[]
} {
  const said: string[] = []
  const disk = { free: 0 }
  const log = { dirty: false, stagedBytes: { content: 0, other: 0 }, persist: () => {} }
  const ports = {
    report: (_: string, words: string) => void said.push(words),
    log: { durableIndex: 0 },
    disk: {
      reserveBytes: 0,
      space: () => ({ totalBytes: 2 ** 30, freeBytes: disk.free }),
      release: () => false,
      restock: () => {},
    },
  }
  const health = new Health(ports as never, () => {})
  const durability = new Durability({ ports, log, health, raft: {}, views: {}, agenda: {} } as never)
  return { health, durability, log, disk, said }
}

const full = (): never => {
  throw new RkfsError('disk-full', 'the disk of the log is full')
}

void t.test('a vote that found no room: there is none before the disk has some', t => {
  const { health, durability, disk, said } = made()
  health.guardDisk(full)
  t.equal(durability.persist(), true, 'nothing is staged')
  t.equal(health.diskFull, 'the disk of the log is full')
  t.strictSame(said, [], 'nothing was written that says there is room')
  disk.free = 2 ** 20
  durability.persist()
  t.equal(health.diskFull, undefined)
  t.strictSame(said, ['the disk has room again'])
  t.end()
})

void t.test('what was staged is written: the disk has room', t => {
  const { health, durability, log, said } = made()
  health.guardDisk(full)
  log.dirty = true
  durability.persist()
  t.equal(health.diskFull, undefined)
  t.strictSame(said, ['the disk has room again'])
  durability.persist()
  t.equal(said.length, 1, 'it is said once')
  t.end()
})
