/** A channel of one whose state is lost, and its log. */
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../src/daemon/config.js'
import { openHome } from '../../src/daemon/home.js'
import { silentLog } from '../../src/daemon/log.js'
import { Node } from '../../src/daemon/node.js'
import { S_IFDIR } from '../../src/fs/records.js'

const noBytes = new Uint8Array(0)

function start(home: string): Promise<Node> {
  const { config } = loadConfig(home, {}, { listen: '127.0.0.1:0', name: 'alpha' })
  return Node.start(home, config, silentLog)
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let i = 0; i < 1500 && !holds(); i++) await new Promise(resolve => setTimeout(resolve, 20))
  t.ok(holds(), what)
}

async function mkdir(node: Node, name: string): Promise<void> {
  const host = node.host('demo')
  const ino = host.nextInode()
  const mode = S_IFDIR | 0o755
  const errno = await new Promise<number>(done => {
    const operation = { kind: 'make', parent: 1, name, ino, mode, uid: 0, gid: 0, rdev: 0, target: '' } as const
    host.channel.change(operation, noBytes, { timeoutMs: 20_000, durable: true, done })
  })
  t.equal(errno, 0)
}

const names = (node: Node): string[] =>
  node
    .host('demo')
    .channel.view.scan('entry', 1, undefined, 5000)
    .map(([n]) => n)

t.test('a channel of one is made anew from the copy of its state and the log behind it', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'rkfs-lost-state.'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const home = openHome(join(folder, 'a'))
  const channel = join(home, 'channels', 'demo')
  const state = join(channel, 'state.db')
  let node = await start(home)
  t.teardown(() => node.stop(true))
  await node.createChannel('demo')
  await mkdir(node, 'before')
  await until('the state is copied', () => existsSync(join(channel, 'state.copy')))
  for (let i = 0; i < 400; i++) await mkdir(node, `d${i}`)
  const before = names(node)
  t.equal(before.length, 401)
  for (const lose of [
    () => rmSync(state),
    () => truncateSync(state, 100),
    () => writeFileSync(state, Buffer.alloc(100_000, 7)),
  ]) {
    await node.stop(false)
    for (const suffix of ['-wal', '-shm']) rmSync(state + suffix, { force: true })
    lose()
    node = await start(home)
    t.same([...node.broken], [])
    const host = node.host('demo')
    await until('it leads', () => host.channel.role === 'leader')
    t.equal(host.channel.stateMissing, false)
    await until('all of the log is applied', () => names(node).length >= before.length)
    t.same(names(node), before)
  }
  t.ok(existsSync(`${state}.damaged`), 'what was damaged is kept')
  await mkdir(node, 'after')
})
