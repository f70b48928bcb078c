import { spawn } from 'node:child_process'
import { chownSync, mkdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { acquireHomeLock } from '../../src/adapters/host/home-lock.js'
import { lockHolder, runningHolder, writeLockHolder } from '../../src/adapters/host/lock-holder.js'
import { chooseHome, homeVersion, inspectHome, openHome } from '../../src/daemon/home.js'

t.test('which home', async t => {
  t.equal(chooseHome('/a', { RKFS_HOME: '/b' }), '/a')
  t.equal(chooseHome(undefined, { RKFS_HOME: '/b', XDG_DATA_HOME: '/c' }), '/b')
  t.equal(chooseHome(undefined, { XDG_DATA_HOME: '/c' }), '/c/rkfs')
  t.equal(chooseHome(undefined, { XDG_DATA_HOME: 'relative', HOME: '/h' }), '/h/.local/share/rkfs')
  t.equal(chooseHome('x', {}), join(process.cwd(), 'x'))
})

t.test('a home is made, is private, and carries its version', async t => {
  const path = join(t.testdir(), 'deep', 'home')
  t.equal(inspectHome(path), undefined)
  t.equal(openHome(path), realpathSync(path))
  t.equal(statSync(path).mode & 0o777, 0o700)
  t.equal(readFileSync(join(path, 'version'), 'utf8'), `${homeVersion}\n`)
  t.equal(openHome(path), realpathSync(path), 'twice')
  t.same(inspectHome(path), { path: realpathSync(path), version: '1' })
})

t.test(
  'an empty directory, one with certificates brought along, and one whose first start was cut short become homes',
  async t => {
    const path = t.testdir({ empty: {}, brought: { csp: {}, 'config.toml': '' }, cut: { 'version.tmp-4711': '' } })
    openHome(join(path, 'empty'))
    openHome(join(path, 'brought'))
    openHome(join(path, 'cut'))
    t.equal(readFileSync(join(path, 'cut', 'version'), 'utf8'), '1\n')
  },
)

t.test('what is no home is refused and left alone', async t => {
  const path = t.testdir({
    file: 'x',
    other: { photo: '' },
    temporary: { 'photo.tmp-4711': '' },
    newer: { version: '2\n', data: '' },
  })
  t.throws(() => openHome(join(path, 'file')), { code: 'failed', message: /is not a directory/ })
  t.throws(() => openHome(join(path, 'file', 'home')), { message: /not a directory/ })
  t.throws(() => openHome(join(path, 'other')), { message: /is not a home of rkfs: it holds photo/ })
  t.throws(() => openHome(join(path, 'temporary')), { message: /is not a home of rkfs: it holds photo.tmp-4711/ })
  const mode = statSync(join(path, 'newer')).mode
  t.throws(() => openHome(join(path, 'newer')), { code: 'version', message: /has version "2".*reads version "1"/ })
  t.equal(statSync(join(path, 'newer')).mode, mode)
  t.equal(readFileSync(join(path, 'newer', 'version'), 'utf8'), '2\n')
})

t.test('another user’s home', { skip: process.geteuid?.() !== 0 && 'needs root' }, async t => {
  const path = join(t.testdir(), 'theirs')
  mkdirSync(path)
  chownSync(path, 12345, 12345)
  t.throws(() => openHome(path), { message: /belongs to user 12345, not to you \(0\)/ })
})

t.test('one node a home: the lock of a process holds until it dies, even by SIGKILL', { timeout: 60_000 }, async t => {
  const home = t.testdir()
  const lock = fileURLToPath(new URL('../../src/adapters/host/home-lock.ts', import.meta.url))
  const script = `const { acquireHomeLock } = await import(${JSON.stringify(lock)})
    acquireHomeLock(${JSON.stringify(home)}); console.log('locked'); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  await new Promise<void>(resolve => child.stdout.once('data', () => resolve()))
  t.equal(lockHolder(home), child.pid)
  t.equal(runningHolder(home)?.pid, child.pid)
  t.throws(() => acquireHomeLock(home), { code: 'busy', message: new RegExp(`process ${child.pid}\\) runs on`) })
  child.kill('SIGKILL')
  await new Promise(resolve => child.once('exit', resolve))
  t.same([lockHolder(home), runningHolder(home)], [child.pid, undefined], 'the file names a killed one')
  writeLockHolder(home, process.pid)
  t.equal(runningHolder(home), undefined, 'nor is it whoever has its number now')
  const mine = acquireHomeLock(home)
  t.equal(lockHolder(home), process.pid)
  t.throws(() => acquireHomeLock(home), { code: 'busy' }, 'nor twice in one process')
  mine.release()
  mine.release()
  t.equal(lockHolder(home), undefined)
  acquireHomeLock(home).release()
})

t.test('a lock that cannot be made', async t => {
  const home = t.testdir({ 'node.lock': {} })
  t.throws(() => acquireHomeLock(home), { code: 'failed', message: /node\.lock cannot be opened/ })
})
