import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { EIO } from '../../src/base/errno.js'
import { RkfsError } from '../../src/base/errors.js'
import { onFailpoint } from '../../src/base/failpoint.js'
import { Frontend } from '../../src/channel/frontend.js'
import type { Caller, Reply } from '../../src/channel/mount-port.js'
import type { ChannelHost } from '../../src/daemon/channel-host.js'
import { loadConfig } from '../../src/daemon/config.js'
import { openHome } from '../../src/daemon/home.js'
import { silentLog } from '../../src/daemon/log.js'
import { Node } from '../../src/daemon/node.js'
import { rootInode } from '../../src/fs/records.js'

const never = new AbortController().signal
const caller: Caller = { uid: 0, gid: 0, pid: 1 }
const O_RDWR = 2

function start(folder: string, name: string): Promise<Node> {
  const home = openHome(join(folder, name))
  return Node.start(home, loadConfig(home, {}, { listen: '127.0.0.1:0', name }).config, silentLog)
}

/** A call of a program that is to succeed. */
function call<T>(make: (reply: Reply<T>) => void): Promise<T> {
  return new Promise((ok, failed) => make({ ok, fail: errno => failed(new Error(`errno ${errno}`)), onInterrupt() {} }))
}

/** A mount of which there is no kernel. */
function mountOf(host: ChannelHost): Frontend {
  const options = { mount: 1, sync: 'close', timeoutMs: 20_000, latest: false } as const
  const frontend = new Frontend(host.channel, options, {
    now: () => host.now(),
    nextInode: () => host.nextInode(),
    openSpill: () => host.openSpill(),
    locks: host.locks,
    statistics: () => host.statistics(),
    delay: (ms, callback) => void setTimeout(callback, ms).unref(),
  })
  host.attach(frontend)
  return frontend
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let i = 0; i < 1500 && !holds(); i++) await new Promise(resolve => setTimeout(resolve, 20))
  t.ok(holds(), what)
}

t.test('a disk fails behind what a program was told, and its mount lives on: the program is told, once', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'rkfs-lost.'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const a = await start(folder, 'alpha')
  t.teardown(() => a.stop(true))
  const b = await start(folder, 'beta')
  t.teardown(() => b.stop(true))
  t.teardown(() => onFailpoint(() => undefined))
  await a.createChannel('demo')
  await b.join((await a.invite('demo', 60)).token, () => {}, never)
  const host = b.host('demo')
  await until('changes are taken', () => host.channel.hasSession && host.channel.usable)
  const frontend = mountOf(host)
  const open = (name: string): Promise<{ entry: { attributes: { ino: number } }; file: { handle: number } }> =>
    call(reply => frontend.create(caller, rootInode, name, 0o100644, O_RDWR, reply))
  const [one, other] = [await open('one'), await open('other')]
  const { ino } = one.entry.attributes
  const { handle } = one.file

  // its disk fails when the program has its answer, and nobody else has the change
  let journalled = false
  onFailpoint(name => {
    if (name === 'change-journalled') journalled = true
    if (name !== 'answers-given' || !journalled) return
    journalled = false
    throw new RkfsError('failed', 'EIO: a test')
  })
  const before = host.channel
  const data = Buffer.from('lost')
  t.equal(await call(reply => frontend.write(caller, ino, handle, 0, data, 0, false, reply)), 4)
  await until('it is open again', () => host.channel !== before && host.fault === undefined)
  onFailpoint(() => undefined)
  await until('a copy is kept', () => host.conflicts.count === 1)
  const fsync = ({ entry, file }: typeof one): Promise<number> =>
    new Promise(done =>
      frontend.fsync(caller, entry.attributes.ino, file.handle, false, {
        ok: () => done(0),
        fail: done,
        onInterrupt() {},
      }),
    )
  t.equal(await fsync(one), EIO)
  t.equal(await fsync(one), 0)
  t.equal(await fsync(other), 0)
  t.match(host.conflicts.list(), [{ what: 'written', reason: /before others had it/ }])
})
