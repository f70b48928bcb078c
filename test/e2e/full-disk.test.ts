/** A node whose disk others have filled to the last byte: it starts, serves what is there, and says what is wrong. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { clusterOf, freePort, isRunning, mainPath, until } from './support/cluster.js'
import { fillDisk } from './support/full-disk.js'
import { run } from './support/process.js'

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

await t.test('a first start on a disk that is nearly full says so, and leaves nothing', async t => {
  const disk = join(cluster.root, 'small')
  mkdirSync(disk)
  spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=96m', 'tmpfs', disk])
  const home = join(disk, 'home')
  const directory = join(cluster.root, 'mnt', 'first')
  const ballast = fillDisk(disk)
  const [most] = ballast as [string]
  const whole = statSync(most).size
  for (const freeKiB of [0, 4, 8, 12, 16, 32, 96]) {
    truncateSync(most, whole - freeKiB * 1024)
    const words = ['mount', 'small', directory, '--listen', `127.0.0.1:${await freePort()}`]
    const env = { RKFS_HOME: home }
    const { code, stderr } = await run(process.execPath, [mainPath, ...words], { limitSeconds: 60, env })
    t.equal(code, 1, `${freeKiB} KiB: ${stderr}`)
    t.match(stderr, `no space left on the disk of ${home}`)
    t.same([existsSync(home), existsSync(directory)], [false, false], `${freeKiB} KiB`)
  }
})
