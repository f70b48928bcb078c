import { cases } from '../case.js'
import { equal, fails } from '../kit/check.js'
import { file, fresh, pattern, text, whole } from '../kit/files.js'
import { O } from '../kit/flags.js'
import { alice, as } from '../kit/identity.js'
import { sys } from '../kit/sys.js'

export const sync = cases('fsync', add => {
  add('fsync and fdatasync of a written file', 'POSIX fsync, fdatasync', () => {
    const fd = fresh('f', pattern(100_000))
    equal([sys.fsync(fd), sys.fdatasync(fd)], [0, 0])
    equal(whole(fd), pattern(100_000))
  })
  add('a descriptor for reading', 'fsync(2): any descriptor', () => {
    file('f', 'abc')
    equal([sys.fsync(sys.open('f')), sys.fdatasync(sys.open('f'))], [0, 0])
  })
  add('a descriptor of who does not own the file', 'fsync(2)', () => {
    file('f', 'abc', 0o644)
    equal(
      as(alice, () => sys.fsync(sys.open('f'))),
      0,
    )
  })
  add('a directory', 'fsync(2): NOTES: the directory entry', () => {
    sys.mkdir('d')
    file('d/f')
    const fd = sys.open('d', O.DIRECTORY)
    equal([sys.fsync(fd), sys.fdatasync(fd)], [0, 0])
  })
  add('write, fsync, rename, fsync of the directory', 'rename(2): the way to replace a file safely', () => {
    file('f', 'old')
    const fd = fresh('f.new', 'new')
    sys.fsync(fd)
    sys.close(fd)
    sys.rename('f.new', 'f')
    sys.fsync(sys.open('.', O.DIRECTORY))
    equal(text('f'), 'new')
  })
  add('syncfs', 'syncfs(2)', () => {
    equal(sys.syncfs(fresh('f', 'abc')), 0)
  })
  add('sync_file_range', 'sync_file_range(2)', () => {
    const fd = fresh('f', pattern(20_000))
    equal(sys.syncFileRange(fd, 0, 8192, 7), 0)
    fails('EINVAL', () => sys.syncFileRange(fd, 0, 8192, 0x100))
    fails('EINVAL', () => sys.syncFileRange(fd, -1, 8192, 7))
  })
  add('a reference without a file', 'open(2): O_PATH: EBADF', () => {
    file('f')
    const fd = sys.open('f', O.PATH)
    fails('EBADF', () => sys.fsync(fd))
    fails('EBADF', () => sys.syncfs(fd))
  })
  add('a closed descriptor', 'fsync(2), close(2): EBADF', () => {
    const fd = fresh('f')
    sys.close(fd)
    fails('EBADF', () => sys.fsync(fd))
    fails('EBADF', () => sys.close(fd))
  })
  add('many small synced writes', 'fsync(2)', () => {
    const fd = fresh('f')
    for (let i = 0; i < 10; i++) {
      sys.write(fd, `${i}`)
      sys.fdatasync(fd)
    }
    equal(text('f'), '0123456789')
  })
  add('close of one of two descriptors', 'close(2)', () => {
    const fd = fresh('f', 'abc')
    const other = sys.dup(fd)
    sys.close(fd)
    sys.pwrite(other, 'X', 1)
    equal(whole(other).toString(), 'aXc')
  })
})
