import { cases } from '../case.js'
import { equal, fails, rejects } from '../kit/check.js'
import { file, fresh } from '../kit/files.js'
import { LOCK, O } from '../kit/flags.js'
import { lock } from '../kit/lock.js'
import { sys } from '../kit/sys.js'

const { SH, EX, NB, UN } = LOCK

export const flock = cases('flock', add => {
  const two = (): [number, number] => [fresh('f', 'abc'), sys.open('f', O.RDWR)]

  add('exclusive excludes', 'flock(2): LOCK_EX: one at a given time; EWOULDBLOCK', () => {
    const [a, b] = two()
    sys.flock(a, EX)
    fails('EAGAIN', () => sys.flock(b, EX | NB))
    fails('EAGAIN', () => sys.flock(b, SH | NB))
  })
  add('shared is shared', 'flock(2): LOCK_SH', () => {
    const [a, b] = two()
    sys.flock(a, SH)
    sys.flock(b, SH | NB)
    fails('EAGAIN', () => sys.flock(b, EX | NB))
  })
  add('unlocking lets others in', 'flock(2): LOCK_UN', () => {
    const [a, b] = two()
    sys.flock(a, EX)
    sys.flock(a, UN)
    sys.flock(b, EX | NB)
    fails('EAGAIN', () => sys.flock(a, SH | NB))
  })
  add('unlocking what is not locked', 'flock(2): LOCK_UN', () => {
    const [a] = two()
    equal(sys.flock(a, UN), 0)
  })
  add('from shared to exclusive and back', 'flock(2): a lock is converted', () => {
    const [a, b] = two()
    sys.flock(a, SH)
    sys.flock(a, EX | NB)
    fails('EAGAIN', () => sys.flock(b, SH | NB))
    sys.flock(a, SH)
    sys.flock(b, SH | NB)
  })
  add('a duplicate has the same lock', 'flock(2): associated with the open file description', () => {
    const [a, b] = two()
    const duplicate = sys.dup(a)
    sys.flock(a, EX)
    sys.flock(duplicate, EX | NB)
    sys.close(a)
    fails('EAGAIN', () => sys.flock(b, EX | NB))
    sys.flock(duplicate, UN)
    sys.flock(b, EX | NB)
  })
  add('the last close unlocks', 'flock(2): released when all descriptors are closed', () => {
    const [a, b] = two()
    sys.flock(a, EX)
    sys.close(a)
    sys.flock(b, EX)
  })
  add('a lock is of the file, not of the name', 'flock(2)', () => {
    const [a] = two()
    sys.flock(a, EX)
    sys.link('f', 'g')
    sys.rename('f', 'h')
    fails('EAGAIN', () => sys.flock(sys.open('g'), SH | NB))
    file('f')
    sys.flock(sys.open('f'), EX | NB)
  })
  add('a descriptor for reading locks exclusively', 'flock(2): regardless of the mode of the open', () => {
    file('f')
    const [a, b] = [sys.open('f'), sys.open('f', O.WRONLY)]
    sys.flock(a, EX)
    fails('EAGAIN', () => sys.flock(b, SH | NB))
  })
  add('a directory', 'flock(2): any open file', () => {
    sys.mkdir('d')
    const [a, b] = [sys.open('d', O.DIRECTORY), sys.open('d', O.DIRECTORY)]
    sys.flock(a, EX)
    fails('EAGAIN', () => sys.flock(b, EX | NB))
    sys.flock(a, UN)
    sys.flock(b, EX | NB)
  })
  add('an operation that is none', 'flock(2): EINVAL', () => {
    const [a] = two()
    fails('EINVAL', () => sys.flock(a, 0))
    fails('EINVAL', () => sys.flock(a, SH | EX))
  })
  add('a reference without a file', 'open(2): O_PATH: EBADF', () => {
    file('f')
    fails('EBADF', () => sys.flock(sys.open('f', O.PATH), SH))
  })
  add('apart from record locks', 'flock(2): no interaction with fcntl locks on a local file system', () => {
    const [a, b] = two()
    sys.flock(a, EX)
    lock.set(b, { type: 'write' })
    lock.set(b, { type: 'unlock' })
  })
  add('another process waits until it is free', 'flock(2): blocks', async ({ actor }) => {
    const other = await actor()
    const [a] = two()
    sys.flock(a, EX)
    const theirs = await other.do('open', 'f')
    const waiting = other.do('flock', theirs, EX)
    await other.sleeps()
    sys.flock(a, UN)
    await waiting
    fails('EAGAIN', () => sys.flock(a, SH | NB))
  })
  add('a signal ends the wait', 'flock(2): EINTR', async ({ actor }) => {
    const other = await actor()
    const [a] = two()
    sys.flock(a, EX)
    const theirs = await other.do('open', 'f')
    const waiting = other.do('flock', theirs, SH)
    await other.sleeps()
    other.interrupt()
    await rejects('EINTR', waiting)
    sys.flock(a, UN)
    sys.flock(a, EX | NB)
  })
  add('a killed process holds nothing', 'flock(2): released by the last close', async ({ actor }) => {
    const other = await actor()
    const [a] = two()
    await other.do('flock', await other.do('open', 'f'), EX)
    fails('EAGAIN', () => sys.flock(a, EX | NB))
    await other.kill()
    sys.flock(a, EX)
  })
  add('a killed process that waits leaves nothing behind', 'flock(2)', async ({ actor }) => {
    const other = await actor()
    const [a, b] = two()
    sys.flock(a, EX)
    const theirs = await other.do('open', 'f')
    const waiting = other.do('flock', theirs, EX).catch(() => undefined)
    await other.sleeps()
    await other.kill()
    await waiting
    sys.flock(a, UN)
    sys.flock(b, EX | NB)
  })
})
