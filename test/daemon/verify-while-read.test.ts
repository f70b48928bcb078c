/** A deep verification while others read the state, and where it cannot be had: it says why. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../src/daemon/config.js'
import { openHome } from '../../src/daemon/home.js'
import { silentLog } from '../../src/daemon/log.js'
import { Node } from '../../src/daemon/node.js'
import { S_IFDIR } from '../../src/fs/records.js'
import type { VerifyReport } from '../../src/daemon/control-protocol.js'
import type { HeldState } from '../../src/channel/state-holds.js'

t.setTimeout(120_000)
const folder = mkdtempSync(join(tmpdir(), 'rkfs-verify.'))
const home = openHome(join(folder, 'a'))
const { config } = loadConfig(home, {}, { listen: '127.0.0.1:0', name: 'alpha' })
const node = await Node.start(home, config, silentLog)
t.teardown(async () => {
  await node.stop(true)
  rmSync(folder, { recursive: true, force: true })
})
await node.createChannel('demo')
const host = node.host('demo')
const { channel } = host
const copy = join(home, 'channels', 'demo', 'state.copy')
const signal = new AbortController().signal
const deep = (): Promise<VerifyReport> => host.verification.verify(true, () => {}, signal)
const hold = (): Promise<HeldState> =>
  new Promise(resolve => channel.holdState(false, held => held !== undefined && resolve(held)))
const later = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
let made = 0

/** Makes folders all the time, until it is ended. */
function busy(): () => void {
  const timer = setInterval(() => {
    const operation = { kind: 'make', parent: 1, name: `d${made++}`, ino: host.nextInode(), target: '' } as const
    const all = { ...operation, mode: S_IFDIR | 0o755, uid: 0, gid: 0, rdev: 0 }
    channel.change(all, new Uint8Array(0), { timeoutMs: 20_000, durable: false, done: () => {} })
  }, 5)
  return () => clearInterval(timer)
}

t.test('the first copy of a new channel, and verifications, at the same time', async t => {
  const end = busy()
  const reports: VerifyReport[] = []
  for (let i = 0; i < 200 && !existsSync(copy); i++) reports.push(...(await Promise.all([deep(), deep()])))
  end()
  t.ok(existsSync(copy), 'it is copied meanwhile')
  t.same(
    reports.flatMap(({ members }) => members.flatMap(({ problems }) => problems)),
    [],
  )
  t.ok(reports.every(({ ok }) => ok))
})

t.test(
  'somebody holds the state for a while: the verification waits, and so does what is ordered after its mark',
  async t => {
    const end = busy()
    const held = await hold()
    const verified = deep()
    await later(1000)
    held.release()
    held.release()
    const { ok, members } = await verified
    end()
    t.ok(ok, JSON.stringify(members))
  },
)

t.test('somebody holds it for ever: that is what is said, and no full disk', async t => {
  const held = await hold()
  const { ok, members } = await deep()
  held.release()
  t.notOk(ok)
  t.match(members[0]!.problems, [/being read for something else/])
  t.ok((await deep()).ok, 'and afterwards it is well')
})
