import { cases } from '../case.js'
import { equal, fails, ok } from '../kit/check.js'
import { content, file, fresh, pattern, whole } from '../kit/files.js'
import { FALLOC, O, S, SEEK } from '../kit/flags.js'
import { withFileSizeLimit } from '../kit/limit.js'
import { shared } from '../kit/mapping.js'
import { sys } from '../kit/sys.js'

const { KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE } = FALLOC
const mib = 1 << 20

export const fallocate = cases('fallocate', add => {
  const zeroed = (data: Buffer, from: number, length: number): Buffer =>
    Buffer.from(data).fill(0, from, Math.min(from + length, data.length))

  add('extends with zeros', 'fallocate(2): mode 0', () => {
    const fd = fresh('f', 'abc')
    sys.fallocate(fd, 0, 0, 10_000)
    equal(whole(fd), Buffer.concat([Buffer.from('abc'), Buffer.alloc(9997)]))
  })
  add('keeps the data that is there', 'fallocate(2): data within the range is left unchanged', () => {
    const data = pattern(10_000)
    const fd = fresh('f', data)
    sys.fallocate(fd, 0, 1000, 5000)
    equal(whole(fd), data)
  })
  add('does not shrink', 'fallocate(2): the size is at least offset+len', () => {
    const fd = fresh('f', pattern(10_000))
    sys.fallocate(fd, 0, 0, 10)
    equal(sys.fstat(fd).size, 10_000)
  })
  add('KEEP_SIZE keeps the size', 'fallocate(2): FALLOC_FL_KEEP_SIZE', () => {
    const fd = fresh('f', 'abc')
    sys.fallocate(fd, KEEP_SIZE, 0, 100_000)
    equal(whole(fd).toString(), 'abc')
    sys.pwrite(fd, 'end', 50_000)
    equal(whole(fd), Buffer.concat([Buffer.from('abc'), Buffer.alloc(49_997), Buffer.from('end')]))
  })
  add('KEEP_SIZE and then a longer size reads as zeros', 'fallocate(2), ftruncate(2)', () => {
    const fd = fresh('f', 'abc')
    sys.fallocate(fd, KEEP_SIZE, 0, 20_000)
    sys.ftruncate(fd, 20_000)
    equal(whole(fd), Buffer.concat([Buffer.from('abc'), Buffer.alloc(19_997)]))
  })
  for (const [offset, length] of [
    [4096, 8192],
    [100, 50],
    [4000, 200],
    [1, 29_998],
    [0, 30_000],
    [25_000, 100_000],
  ] as const) {
    add(`a hole of ${length} bytes at ${offset}`, 'fallocate(2): FALLOC_FL_PUNCH_HOLE: reads as zeros', () => {
      const data = pattern(30_000)
      const fd = fresh('f', data)
      sys.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, offset, length)
      equal(whole(fd), zeroed(data, offset, length))
    })
  }
  add('many separate ranges', 'fallocate(2): ENOSPC: there is not enough space left on the device', () => {
    const fd = fresh('f')
    const before = sys.fstat(fd).blocks
    for (let i = 0; i < 400; i++) sys.fallocate(fd, i % 2 === 0 ? 0 : KEEP_SIZE, ((i * 7919) % 400) << 16, 4096)
    ok(sys.fstat(fd).blocks >= before + 400 * 8, 'all of it is allocated')
    equal(
      whole(fd).every(byte => byte === 0),
      true,
    )
  })
  add('many separate holes', 'fallocate(2): FALLOC_FL_PUNCH_HOLE', () => {
    const fd = fresh('f')
    sys.fallocate(fd, 0, 0, 400 << 16)
    sys.pwrite(fd, pattern(65_536), 65_536)
    for (let i = 0; i < 400; i++) sys.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, i << 16, 4096)
    equal(sys.fstat(fd).size, 400 << 16)
    equal(sys.pread(fd, 65_536, 65_536), zeroed(pattern(65_536), 0, 4096))
  })
  add('a hole frees space', 'fallocate(2): deallocates space', () => {
    const fd = fresh('f', pattern(2 * mib))
    sys.fsync(fd)
    const before = sys.fstat(fd).blocks
    sys.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 0, mib)
    ok(sys.fstat(fd).blocks <= before - mib / 512 / 2, `fewer than ${before} blocks`)
  })
  add('a hole shows in a mapping', 'fallocate(2): FALLOC_FL_PUNCH_HOLE', () => {
    const fd = fresh('f', Buffer.alloc(16_384, 'a'))
    const map = shared(fd, 16_384)
    equal(map.load(4096, 1).toString(), 'a')
    sys.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 4096, 4096)
    equal(
      [map.load(4095, 1).toString(), map.load(4096, 4096), map.load(8192, 1).toString()],
      ['a', Buffer.alloc(4096), 'a'],
    )
  })
  add('a hole is written again', 'fallocate(2)', () => {
    const data = pattern(20_000)
    const fd = fresh('f', data)
    sys.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 5000, 10_000)
    sys.pwrite(fd, 'again', 8000)
    const expected = zeroed(data, 5000, 10_000)
    expected.write('again', 8000)
    equal(whole(fd), expected)
  })
  add('PUNCH_HOLE without KEEP_SIZE', 'fallocate(2): EOPNOTSUPP', () => {
    fails('EOPNOTSUPP', () => sys.fallocate(fresh('f', 'abc'), PUNCH_HOLE, 0, 1))
  })
  add(
    'ZERO_RANGE zeros and extends',
    'fallocate(2): FALLOC_FL_ZERO_RANGE',
    () => {
      const data = pattern(20_000)
      const fd = fresh('f', data)
      sys.fallocate(fd, ZERO_RANGE, 3000, 5000)
      equal(whole(fd), zeroed(data, 3000, 5000))
      sys.fallocate(fd, ZERO_RANGE, 15_000, 10_000)
      equal(whole(fd), Buffer.concat([zeroed(zeroed(data, 3000, 5000), 15_000, 5000), Buffer.alloc(5000)]))
    },
    { proof: 'ext4' },
  )
  add(
    'ZERO_RANGE with KEEP_SIZE',
    'fallocate(2): the size is not changed',
    () => {
      const data = pattern(20_000)
      const fd = fresh('f', data)
      sys.fallocate(fd, ZERO_RANGE | KEEP_SIZE, 10_000, 50_000)
      equal(whole(fd), zeroed(data, 10_000, 10_000))
    },
    { proof: 'ext4' },
  )
  add('ranges that are none', 'fallocate(2): EINVAL: offset < 0 or len <= 0', () => {
    const fd = fresh('f', 'abc')
    fails('EINVAL', () => sys.fallocate(fd, 0, -1, 10))
    fails('EINVAL', () => sys.fallocate(fd, 0, 0, 0))
    fails('EINVAL', () => sys.fallocate(fd, 0, 0, -5))
    equal(sys.fstat(fd).size, 3)
  })
  add('an unknown mode', 'fallocate(2): EOPNOTSUPP', () => {
    fails('EOPNOTSUPP', () => sys.fallocate(fresh('f', 'abc'), 0x4000, 0, 10))
  })
  add('a descriptor for reading', 'fallocate(2): EBADF', () => {
    file('f', 'abc')
    fails('EBADF', () => sys.fallocate(sys.open('f'), 0, 0, 10))
  })
  add('a fifo', 'fallocate(2): ESPIPE', () => {
    sys.mknod('p', S.IFIFO | 0o600)
    fails('ESPIPE', () => sys.fallocate(sys.open('p', O.RDWR), 0, 0, 10))
  })
  add('beyond the largest file', 'fallocate(2): EFBIG', () => {
    fails('EFBIG', () => sys.fallocate(fresh('f'), 0, (1n << 62n) + 5n, 1n << 62n))
  })
  add('the limit of the process', 'fallocate(2), setrlimit(2): EFBIG', () => {
    const fd = fresh('f')
    withFileSizeLimit(5000, () => fails('EFBIG', () => sys.fallocate(fd, 0, 0, 5001)))
    equal(sys.fstat(fd).size, 0)
  })
})

export const lseek = cases('lseek', add => {
  const { SET, CUR, END, DATA, HOLE } = SEEK

  add('from the start, from here, from the end', 'POSIX lseek', () => {
    const fd = fresh('f', 'abcdef')
    equal([sys.lseek(fd, 2, SET), sys.lseek(fd, 2, CUR), sys.lseek(fd, -1, END), sys.lseek(fd, -3, CUR)], [2, 4, 5, 2])
    equal(sys.read(fd, 1).toString(), 'c')
  })
  add('before the start', 'lseek(2): EINVAL; the offset stays', () => {
    const fd = fresh('f', 'abc')
    sys.lseek(fd, 1)
    fails('EINVAL', () => sys.lseek(fd, -1, SET))
    fails('EINVAL', () => sys.lseek(fd, -2, CUR))
    fails('EINVAL', () => sys.lseek(fd, -4, END))
    equal(sys.lseek(fd, 0, CUR), 1)
  })
  add('beyond the end does not extend', 'POSIX lseek: shall not extend the size of the file', () => {
    const fd = fresh('f', 'abc')
    equal([sys.lseek(fd, 1000), sys.fstat(fd).size], [1000, 3])
  })
  add('an unknown whence', 'lseek(2): EINVAL', () => {
    fails('EINVAL', () => sys.lseek(fresh('f'), 0, 9))
  })
  add('the end moves with other descriptors', 'POSIX lseek: SEEK_END', () => {
    const fd = fresh('f', 'abc')
    equal(sys.lseek(fd, 0, END), 3)
    sys.pwrite(sys.open('f', O.WRONLY), 'x', 99)
    equal(sys.lseek(fd, 0, END), 100)
    sys.truncate('f', 10)
    equal(sys.lseek(fd, 0, END), 10)
  })
  add('far beyond 4 GiB', 'lseek(2): off_t has 64 bits', () => {
    const fd = fresh('f')
    equal(sys.lseek(fd, 1n << 40n), 2 ** 40)
    equal(sys.lseek(fd, 5, CUR), 2 ** 40 + 5)
  })
  add('all data: the hole is the end', 'lseek(2): there is an implicit hole at the end', () => {
    const fd = fresh('f', pattern(10_000))
    equal(
      [sys.lseek(fd, 0, DATA), sys.lseek(fd, 0, HOLE), sys.lseek(fd, 5000, DATA), sys.lseek(fd, 5000, HOLE)],
      [0, 10_000, 5000, 10_000],
    )
  })
  add('at and after the end', 'lseek(2): ENXIO', () => {
    const fd = fresh('f', 'abc')
    for (const whence of [DATA, HOLE]) {
      fails('ENXIO', () => sys.lseek(fd, 3, whence))
      fails('ENXIO', () => sys.lseek(fd, 100, whence))
    }
  })
  add('an empty file', 'lseek(2): ENXIO', () => {
    const fd = fresh('f')
    fails('ENXIO', () => sys.lseek(fd, 0, DATA))
    fails('ENXIO', () => sys.lseek(fd, 0, HOLE))
  })
  add('data between holes', 'lseek(2): SEEK_DATA, SEEK_HOLE', () => {
    const fd = fresh('f')
    sys.pwrite(fd, pattern(65_536), 4 * mib)
    sys.ftruncate(fd, 8 * mib)
    equal(sys.lseek(fd, 0, HOLE), 0)
    equal(sys.lseek(fd, 0, DATA), 4 * mib)
    equal(sys.lseek(fd, 4 * mib, HOLE), 4 * mib + 65_536)
    equal(sys.lseek(fd, 4 * mib + 10, DATA), 4 * mib + 10)
    fails('ENXIO', () => sys.lseek(fd, 5 * mib, DATA))
    equal(sys.lseek(fd, 5 * mib, HOLE), 5 * mib)
  })
  add('a punched hole is found', 'lseek(2), fallocate(2)', () => {
    const fd = fresh('f', pattern(3 * mib))
    sys.fallocate(fd, 3, mib, mib)
    equal([sys.lseek(fd, 0, HOLE), sys.lseek(fd, mib, DATA)], [mib, 2 * mib])
  })
  add('it moves the offset', 'lseek(2): SEEK_DATA adjusts the file offset', () => {
    const fd = fresh('f')
    sys.pwrite(fd, 'data', 1 << 20)
    sys.lseek(fd, 0, DATA)
    equal(sys.read(fd, 4).toString(), 'data')
  })
  add('a negative start', 'lseek(2): ENXIO', () => {
    fails(['ENXIO', 'EINVAL'], () => sys.lseek(fresh('f', 'abc'), -1, DATA))
  })
})

export const sparse = cases('sparse-files', add => {
  const gib = 2 ** 30
  for (const at of [2 ** 31 - 2, 2 ** 32 - 2, 5 * gib, 1024 * gib]) {
    add(`data around ${at}`, 'write(2): offsets of 64 bits', () => {
      const fd = fresh('f', 'start')
      sys.pwrite(fd, 'here', at)
      equal(sys.fstat(fd).size, at + 4)
      equal([sys.pread(fd, 10, at).toString(), sys.pread(fd, 8, at - 4)], ['here', Buffer.from('\0\0\0\0here')])
      equal([sys.pread(fd, 5, 0).toString(), sys.pread(fd, 5, at / 2)], ['start', Buffer.alloc(5)])
    })
  }
  add('holes take no space', 'stat(3type): st_blocks', () => {
    const fd = fresh('f')
    sys.pwrite(fd, 'x', 100 * gib)
    sys.fsync(fd)
    ok(sys.fstat(fd).blocks < 2048, `${sys.fstat(fd).blocks} blocks are few`)
  })
  add('a size of 8 TiB', 'truncate(2)', () => {
    file('f', 'abc')
    sys.truncate('f', 8 * 2 ** 40)
    equal(sys.stat('f').size, 8 * 2 ** 40)
    const fd = sys.open('f')
    equal([sys.lseek(fd, 0, SEEK.END), sys.pread(fd, 10, 8 * 2 ** 40 - 4).length], [8 * 2 ** 40, 4])
  })
  add('appending beyond 4 GiB', 'open(2): O_APPEND', () => {
    const fd = fresh('f', '', O.APPEND)
    sys.ftruncate(fd, 6 * gib)
    sys.write(fd, 'end')
    equal([sys.fstat(fd).size, sys.pread(fd, 9, 6 * gib).toString()], [6 * gib + 3, 'end'])
  })
  add('a mapping beyond 4 GiB', 'mmap(2): offset', () => {
    const fd = fresh('f')
    sys.ftruncate(fd, 5 * gib)
    const map = shared(fd, 8192, 5 * gib - 8192)
    map.store(8190, 'ok')
    map.sync(4)
    equal(sys.pread(fd, 2, 5 * gib - 2).toString(), 'ok')
  })
  add('cut from 6 GiB to 5 GiB', 'truncate(2)', () => {
    const fd = fresh('f')
    for (const at of [1, 5 * gib - 5, 5 * gib + 5]) sys.pwrite(fd, 'mark', at)
    sys.ftruncate(fd, 5 * gib)
    sys.ftruncate(fd, 6 * gib)
    equal([sys.pread(fd, 4, 1).toString(), sys.pread(fd, 4, 5 * gib - 5).toString()], ['mark', 'mark'])
    equal(sys.pread(fd, 4, 5 * gib + 5), Buffer.alloc(4))
  })
  add('copied by reading, it is the same', 'read(2), write(2)', () => {
    const fd = fresh('f')
    for (let i = 0; i < 5; i++) sys.pwrite(fd, pattern(1000, i), i * 500_000)
    file('g', whole(fd))
    equal(content('g'), content('f'))
  })
})
