import { cases } from '../case.js'
import { equal, fails } from '../kit/check.js'
import { content, file, fresh, pattern, text, whole } from '../kit/files.js'
import { O, SEEK } from '../kit/flags.js'
import { alice, as } from '../kit/identity.js'
import { withFileSizeLimit } from '../kit/limit.js'
import { sys } from '../kit/sys.js'
import { marks } from '../kit/time.js'

export const truncate = cases('truncate', add => {
  add('shorter', 'POSIX truncate: extra data is lost', () => {
    file('f', 'abcdef')
    sys.truncate('f', 3)
    equal([text('f'), sys.stat('f').size], ['abc', 3])
  })
  add('longer reads as zeros', 'POSIX truncate: the extended area reads as zero', () => {
    file('f', 'abc')
    sys.truncate('f', 10_000)
    equal(content('f'), Buffer.concat([Buffer.from('abc'), Buffer.alloc(9997)]))
  })
  for (const [from, to, again] of [
    [10_000, 5, 10_000],
    [8192, 4096, 8192],
    [300_000, 1, 300_000],
    [262_144, 262_143, 262_145],
  ] as const) {
    add(`${from} to ${to} and back to ${again}: what was cut does not come back`, 'POSIX truncate: zeros', () => {
      const data = pattern(from)
      file('f', data)
      sys.truncate('f', to)
      sys.truncate('f', again)
      equal(content('f'), Buffer.concat([data.subarray(0, to), Buffer.alloc(again - to)]))
    })
  }
  add('an open file sees it, its offset stays', 'ftruncate(2): the file offset is not changed', () => {
    const fd = fresh('f', 'abcdef')
    sys.lseek(fd, 5)
    sys.ftruncate(fd, 2)
    equal([sys.lseek(fd, 0, SEEK.CUR), sys.read(fd, 10).length], [5, 0])
    sys.write(fd, 'X')
    equal(whole(fd), Buffer.from('ab\0\0\0X'))
  })
  add('cached pages of another descriptor are cut', 'POSIX truncate', () => {
    const data = pattern(20_000)
    const reader = fresh('f', data)
    equal(whole(reader), data)
    sys.truncate('f', 5000)
    equal(whole(reader), data.subarray(0, 5000))
    sys.truncate('f', 9000)
    equal(whole(reader), Buffer.concat([data.subarray(0, 5000), Buffer.alloc(4000)]))
  })
  add('to nothing frees the space', 'POSIX truncate; st_blocks', () => {
    file('f', pattern(400_000))
    sys.truncate('f', 0)
    equal([sys.stat('f').size, sys.stat('f').blocks], [0, 0])
  })
  add('a new size marks the file', 'POSIX truncate: mtime and ctime', () => {
    file('f', 'abc')
    equal(
      marks('f', () => sys.truncate('f', 1)),
      'mtime ctime',
    )
    equal(
      marks('f', () => sys.truncate('f', 100)),
      'mtime ctime',
    )
  })
  add('ftruncate to the same size marks the file', 'POSIX ftruncate: upon success mtime and ctime', () => {
    const fd = fresh('f', 'abc')
    equal(
      marks('f', () => sys.ftruncate(fd, 3)),
      'mtime ctime',
    )
  })
  add('a negative size', 'truncate(2): EINVAL', () => {
    const fd = fresh('f', 'abc')
    fails('EINVAL', () => sys.truncate('f', -1))
    fails('EINVAL', () => sys.ftruncate(fd, -1))
    equal(text('f'), 'abc')
  })
  add(
    'a size beyond the largest',
    'truncate(2): EFBIG: the argument is larger than the maximum file size',
    () => {
      const fd = fresh('f', 'abc')
      fails('EFBIG', () => sys.truncate('f', (1n << 63n) - 1n))
      fails('EFBIG', () => sys.ftruncate(fd, (1n << 63n) - 1n))
      equal(sys.stat('f').size, 3)
    },
    { proof: 'ext4' },
  )
  add('a directory', 'truncate(2): EISDIR', () => {
    sys.mkdir('d')
    fails('EISDIR', () => sys.truncate('d', 0))
    fails('EINVAL', () => sys.ftruncate(sys.open('d', O.DIRECTORY), 0))
  })
  add('a descriptor for reading', 'ftruncate(2): EINVAL: not open for writing', () => {
    file('f', 'abc')
    fails(['EINVAL', 'EBADF'], () => sys.ftruncate(sys.open('f'), 0))
    equal(text('f'), 'abc')
  })
  add('a missing name', 'truncate(2): ENOENT', () => {
    fails('ENOENT', () => sys.truncate('missing', 0))
    fails('ENOENT', () => sys.truncate('', 0))
  })
  add('a file that one may not write', 'truncate(2): EACCES', () => {
    file('f', 'abc', 0o644)
    fails('EACCES', () => as(alice, () => sys.truncate('f', 0)))
    equal(text('f'), 'abc')
  })
  add('a descriptor gives the right', 'ftruncate(2): the descriptor was opened for writing', () => {
    file('f', 'abc', 0o666)
    const fd = as(alice, () => sys.open('f', O.RDWR))
    sys.chmod('f', 0o600)
    as(alice, () => sys.ftruncate(fd, 1))
    equal(text('f'), 'a')
  })
  add('the limit of the process', 'truncate(2), setrlimit(2): EFBIG beyond RLIMIT_FSIZE', () => {
    const fd = fresh('f', 'abc')
    withFileSizeLimit(100, () => {
      sys.ftruncate(fd, 100)
      fails('EFBIG', () => sys.ftruncate(fd, 101))
    })
    equal(sys.stat('f').size, 100)
  })
  add('in steps, with writes between', 'POSIX truncate, write', () => {
    const fd = fresh('f')
    const model = Buffer.alloc(50_000)
    for (let i = 1; i <= 8; i++) {
      sys.ftruncate(fd, i * 6000)
      sys.pwrite(fd, pattern(1000, i), i * 6000 - 2500)
      pattern(1000, i).copy(model, i * 6000 - 2500)
    }
    equal(whole(fd), model.subarray(0, 48_000))
  })
})
