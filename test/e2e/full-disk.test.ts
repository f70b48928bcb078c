/** A node whose disk others have filled to the last byte: it starts, serves what is there, and says what is wrong. */
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { clusterOf, isRunning, until } from './support/cluster.js'
import { fillDisk } from './support/full-disk.js'

const cluster = clusterOf(t, 170)
const solo = await cluster.machine('solo')
const settings = readFileSync(join(solo.home, 'config.toml'))
spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=96m,mode=700', 'tmpfs', solo.home])
writeFileSync(join(solo.home, 'config.toml'), settings)
await solo.must('channel', 'create', 'demo')
await solo.mount()
await solo.shell('head -c 8M /dev/urandom > large; echo kept > small; sync .')
const sum = (await solo.shell('md5sum large')).stdout

for (const how of ['was stopped', 'was killed'] as const) {
  await t.test(`a node that ${how} starts on a disk without a free byte`, async t => {
    const pid = await solo.pid()
    if (how === 'was stopped') await solo.must('stop')
    else {
      process.kill(pid, 'SIGKILL')
      await until('it is gone', () => !isRunning(pid))
    }
    const ballast = fillDisk(solo.home)
    t.teardown(() => ballast.forEach(path => rmSync(path, { force: true })))
    await solo.mount()
    t.equal((await solo.shell('md5sum large; cat small', 20)).stdout, `${sum}kept\n`)
    t.match((await solo.shell('head -c 16M /dev/zero > new', 20)).stderr, /No space left on device/)
    t.match((await solo.rkfs('status')).stdout, /! the disk is (full|short): /)
    t.not(await solo.pid(), pid)
    for (const path of ballast) rmSync(path)
    await until('it takes changes again', async () => (await solo.shell('echo again > again', 10)).code === 0)
    t.notMatch(readFileSync(join(solo.home, 'node.log'), 'utf8'), /a fault of rkfs/)
  })
}
