import { cases } from '../case.js'
import { equal, fails, rejects } from '../kit/check.js'
import { file, fresh, text } from '../kit/files.js'
import { O, SEEK } from '../kit/flags.js'
import { lock, type Range } from '../kit/lock.js'
import { sys } from '../kit/sys.js'

const read: Range = { type: 'read' }
const write: Range = { type: 'write' }
const unlock: Range = { type: 'unlock' }
const at = (range: Range, start: number, length: number): Range => ({ ...range, start, length })

export const fcntlLocks = cases('fcntl-locks', add => {
  add('a write lock excludes', 'fcntl(2): F_SETLK: EAGAIN or EACCES', async ({ actor }) => {
    const other = await actor()
    const fd = fresh('f', 'abc')
    lock.set(fd, write)
    const theirs = await other.do('open', 'f', O.RDWR)
    await rejects(['EAGAIN', 'EACCES'], other.do('lockSet', theirs, read))
    await rejects(['EAGAIN', 'EACCES'], other.do('lockSet', theirs, write))
    lock.set(fd, unlock)
    await other.do('lockSet', theirs, write)
    fails(['EAGAIN', 'EACCES'], () => lock.set(fd, read))
  })
  add('read locks are shared', 'fcntl(2): any number of read locks', async ({ actor }) => {
    const other = await actor()
    const fd = fresh('f', 'abc')
    lock.set(fd, read)
    const theirs = await other.do('open', 'f', O.RDWR)
    await other.do('lockSet', theirs, read)
    await rejects('EAGAIN', other.do('lockSet', theirs, write))
    fails('EAGAIN', () => lock.set(fd, write))
  })
  add('ranges that do not meet', 'fcntl(2): l_start, l_len', async ({ actor }) => {
    const other = await actor()
    const fd = fresh('f', 'abc')
    lock.set(fd, at(write, 10, 10))
    const theirs = await other.do('open', 'f', O.RDWR)
    await other.do('lockSet', theirs, at(write, 0, 10))
    await other.do('lockSet', theirs, at(write, 20, 0))
    await rejects('EAGAIN', other.do('lockSet', theirs, at(write, 19, 1)))
    await rejects('EAGAIN', other.do('lockSet', theirs, at(read, 5, 6)))
  })
  add('unlocking the middle leaves two locks', 'fcntl(2): a split of an existing lock', async ({ actor }) => {
    const other = await actor()
    const fd = fresh('f', 'abc')
    lock.set(fd, at(write, 0, 30))
    lock.set(fd, at(unlock, 10, 10))
    const theirs = await other.do('open', 'f', O.RDWR)
    await other.do('lockSet', theirs, at(write, 10, 10))
    await rejects('EAGAIN', other.do('lockSet', theirs, at(write, 9, 1)))
    await rejects('EAGAIN', other.do('lockSet', theirs, at(write, 20, 1)))
  })
  add('neighbours become one lock', 'fcntl(2): coalescing', async ({ actor }) => {
    const other = await actor()
    const fd = fresh('f', 'abc')
    lock.set(fd, at(write, 0, 10))
    lock.set(fd, at(write, 10, 10))
    const theirs = await other.do('open', 'f', O.RDWR)
    const { start, length } = await other.do('lockGet', theirs, write)
    equal([start, length], [0, 20])
  })
  add('a part becomes another kind', 'fcntl(2): a new lock replaces the old one in its range', async ({ actor }) => {
    const other = await actor()
    const fd = fresh('f', 'abc')
    lock.set(fd, at(write, 0, 30))
    lock.set(fd, at(read, 10, 10))
    const theirs = await other.do('open', 'f', O.RDWR)
    await other.do('lockSet', theirs, at(read, 10, 10))
    await rejects('EAGAIN', other.do('lockSet', theirs, at(read, 9, 1)))
  })
  add('length 0 is to the end, however it grows', 'fcntl(2): l_len 0', async ({ actor }) => {
    const other = await actor()
    const fd = fresh('f', 'abc')
    lock.set(fd, at(write, 100, 0))
    sys.ftruncate(fd, 1_000_000)
    const theirs = await other.do('open', 'f', O.RDWR)
    await rejects('EAGAIN', other.do('lockSet', theirs, at(write, 999_999, 1)))
    await rejects('EAGAIN', other.do('lockSet', theirs, at(write, 2 ** 45, 1)))
    await other.do('lockSet', theirs, at(write, 0, 100))
  })
  add('a negative length is before the start', 'fcntl(2): l_len negative', async ({ actor }) => {
    const other = await actor()
    const fd = fresh('f', 'abc')
    lock.set(fd, at(write, 20, -10))
    const theirs = await other.do('open', 'f', O.RDWR)
    await other.do('lockSet', theirs, at(write, 0, 10))
    await other.do('lockSet', theirs, at(write, 20, 5))
    await rejects('EAGAIN', other.do('lockSet', theirs, at(write, 10, 1)))
  })
  add('counted from the offset and from the end', 'fcntl(2): l_whence', async ({ actor }) => {
    const other = await actor()
    const fd = fresh('f', 'x'.repeat(100))
    sys.lseek(fd, 50)
    lock.set(fd, { type: 'write', whence: SEEK.CUR, start: -10, length: 5 })
    lock.set(fd, { type: 'write', whence: SEEK.END, start: -10, length: 5 })
    const theirs = await other.do('open', 'f', O.RDWR)
    const first = await other.do('lockGet', theirs, write)
    equal([first.start, first.length], [40, 5])
    const second = await other.do('lockGet', theirs, at(write, 45, 0))
    equal([second.start, second.length], [90, 5])
  })
  add('F_GETLK tells of the lock in the way', 'fcntl(2): F_GETLK', async ({ actor }) => {
    const other = await actor()
    const fd = fresh('f', 'abc')
    await other.do('lockSet', await other.do('open', 'f', O.RDWR), at(read, 5, 7))
    equal(lock.get(fd, write), { type: 'read', start: 5, length: 7, pid: other.pid })
  })
  add('F_GETLK of a free range', 'fcntl(2): F_GETLK: F_UNLCK', async ({ actor }) => {
    const other = await actor()
    const fd = fresh('f', 'abc')
    await other.do('lockSet', await other.do('open', 'f', O.RDWR), at(read, 5, 7))
    equal([lock.get(fd, at(write, 0, 5)).type, lock.get(fd, read).type], ['unlock', 'unlock'])
  })
  add('own locks are not in the way', 'fcntl(2): locks are of the process', () => {
    const [a, b] = [fresh('f', 'abc'), sys.open('f', O.RDWR)]
    lock.set(a, write)
    lock.set(b, write)
    equal(lock.get(b, write).type, 'unlock')
  })
  add(
    'closing any descriptor of the file drops them',
    'fcntl(2): released when any descriptor is closed',
    async ({ actor }) => {
      const other = await actor()
      const fd = fresh('f', 'abc')
      lock.set(fd, write)
      const theirs = await other.do('open', 'f', O.RDWR)
      sys.close(sys.open('f'))
      await other.do('lockSet', theirs, write)
    },
  )
  add('a descriptor must allow what the lock says', 'fcntl(2): EBADF', () => {
    file('f', 'abc')
    fails('EBADF', () => lock.set(sys.open('f'), write))
    fails('EBADF', () => lock.set(sys.open('f', O.WRONLY), read))
    lock.set(sys.open('f'), read)
  })
  add('a range before the file, a whence that is none', 'fcntl(2): EINVAL', () => {
    const fd = fresh('f', 'abc')
    fails('EINVAL', () => lock.set(fd, at(write, -1, 5)))
    fails('EINVAL', () => lock.set(fd, { type: 'write', start: 5, length: -6 }))
    fails('EINVAL', () => lock.set(fd, { type: 'write', whence: 9 }))
  })
  add('another process waits until it is free', 'fcntl(2): F_SETLKW', async ({ actor }) => {
    const other = await actor()
    const fd = fresh('f', 'abc')
    lock.set(fd, write)
    const waiting = other.do('lockWait', await other.do('open', 'f', O.RDWR), write)
    await other.sleeps()
    lock.set(fd, unlock)
    await waiting
    fails('EAGAIN', () => lock.set(fd, read))
  })
  add('a signal ends the wait', 'fcntl(2): F_SETLKW: EINTR', async ({ actor }) => {
    const other = await actor()
    const fd = fresh('f', 'abc')
    lock.set(fd, write)
    const waiting = other.do('lockWait', await other.do('open', 'f', O.RDWR), read)
    await other.sleeps()
    other.interrupt()
    await rejects('EINTR', waiting)
    lock.set(fd, unlock)
    lock.set(fd, write)
  })
  add('the one that waits gets it when a part is freed', 'fcntl(2): F_SETLKW', async ({ actor }) => {
    const other = await actor()
    const fd = fresh('f', 'abc')
    lock.set(fd, at(write, 0, 100))
    const waiting = other.do('lockWait', await other.do('open', 'f', O.RDWR), at(write, 50, 10))
    await other.sleeps()
    lock.set(fd, at(unlock, 40, 30))
    await waiting
    equal(lock.get(fd, at(write, 40, 30)), { type: 'write', start: 50, length: 10, pid: other.pid })
  })
  add('a deadlock is found', 'fcntl(2): EDEADLK', async ({ actor }) => {
    const [first, second] = await Promise.all([actor(0), actor(1)])
    file('f', 'abc')
    const [a, b] = [await first.do('open', 'f', O.RDWR), await second.do('open', 'f', O.RDWR)]
    await first.do('lockSet', a, at(write, 0, 1))
    await second.do('lockSet', b, at(write, 1, 1))
    const waiting = first.do('lockWait', a, at(write, 1, 1))
    await first.sleeps()
    await rejects('EDEADLK', second.do('lockWait', b, at(write, 0, 1)))
    await second.do('lockSet', b, unlock)
    await waiting
  })
  add('a killed process holds nothing', 'fcntl(2): released when the process terminates', async ({ actor }) => {
    const other = await actor()
    const fd = fresh('f', 'abc')
    await other.do('lockSet', await other.do('open', 'f', O.RDWR), write)
    fails('EAGAIN', () => lock.set(fd, read))
    await other.kill()
    lock.wait(fd, write)
  })
  add('a lock is of the file, not of the name', 'fcntl(2)', async ({ actor }) => {
    const other = await actor()
    lock.set(fresh('f', 'abc'), write)
    sys.link('f', 'g')
    sys.rename('f', 'h')
    await rejects('EAGAIN', other.do('lockSet', await other.do('open', 'g', O.RDWR), write))
  })
  add('from read to write and back', 'fcntl(2): an existing lock is converted', async ({ actor }) => {
    const other = await actor()
    const fd = fresh('f', 'abc')
    const theirs = await other.do('open', 'f', O.RDWR)
    lock.set(fd, read)
    lock.set(fd, write)
    await rejects('EAGAIN', other.do('lockSet', theirs, read))
    lock.set(fd, read)
    await other.do('lockSet', theirs, read)
  })
  add('two processes count under a lock', 'fcntl(2): mutual exclusion', async ({ actor }) => {
    const [first, second] = await Promise.all([actor(0), actor(1)])
    file('counter', '0')
    await Promise.all([first.do('countUnderLock', 'counter', 40), second.do('countUnderLock', 'counter', 40)])
    equal(text('counter'), '80')
  })
})

export const ofdLocks = cases('ofd-locks', add => {
  const two = (): [number, number] => [fresh('f', 'abc'), sys.open('f', O.RDWR)]

  add(
    'two descriptors of one process exclude each other',
    'fcntl(2): F_OFD_SETLK: of the open file description',
    () => {
      const [a, b] = two()
      lock.ofdSet(a, write)
      fails('EAGAIN', () => lock.ofdSet(b, write))
      fails('EAGAIN', () => lock.ofdSet(b, read))
      lock.ofdSet(a, unlock)
      lock.ofdSet(b, write)
    },
  )
  add('ranges that do not meet', 'fcntl(2): F_OFD_SETLK', () => {
    const [a, b] = two()
    lock.ofdSet(a, at(write, 0, 10))
    lock.ofdSet(b, at(write, 10, 10))
    fails('EAGAIN', () => lock.ofdSet(b, at(read, 9, 1)))
  })
  add('read locks are shared', 'fcntl(2): F_OFD_SETLK', () => {
    const [a, b] = two()
    lock.ofdSet(a, read)
    lock.ofdSet(b, read)
    fails('EAGAIN', () => lock.ofdSet(b, write))
  })
  add('closing another descriptor keeps them', 'fcntl(2): released by the last close of the description', () => {
    const [a, b] = two()
    lock.ofdSet(a, write)
    sys.close(sys.open('f'))
    fails('EAGAIN', () => lock.ofdSet(b, write))
    const duplicate = sys.dup(a)
    sys.close(a)
    fails('EAGAIN', () => lock.ofdSet(b, write))
    sys.close(duplicate)
    lock.ofdWait(b, write)
  })
  add(
    'they exclude those of a process',
    'fcntl(2): open file description locks conflict with traditional ones',
    async ({ actor }) => {
      const other = await actor()
      const [a] = two()
      lock.ofdSet(a, write)
      const theirs = await other.do('open', 'f', O.RDWR)
      await rejects('EAGAIN', other.do('lockSet', theirs, read))
      lock.ofdSet(a, unlock)
      await other.do('lockSet', theirs, write)
      fails('EAGAIN', () => lock.ofdSet(a, read))
    },
  )
  add('they exclude those of the own process', 'fcntl(2): even in the same process', () => {
    const [a, b] = two()
    lock.ofdSet(a, write)
    fails('EAGAIN', () => lock.set(b, write))
  })
  add('F_OFD_GETLK tells of the lock in the way', 'fcntl(2): F_OFD_GETLK: l_pid -1', () => {
    const [a, b] = two()
    lock.ofdSet(a, at(write, 5, 7))
    equal(lock.ofdGet(b, write), { type: 'write', start: 5, length: 7, pid: -1 })
    equal(lock.ofdGet(b, at(write, 0, 5)).type, 'unlock')
  })
  add('another process waits until it is free', 'fcntl(2): F_OFD_SETLKW', async ({ actor }) => {
    const other = await actor()
    const [a] = two()
    lock.ofdSet(a, write)
    const waiting = other.do('lockWait', await other.do('open', 'f', O.RDWR), write)
    await other.sleeps()
    lock.ofdSet(a, unlock)
    await waiting
  })
})
