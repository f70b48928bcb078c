import { cases } from '../case.js'
import { equal, fails } from '../kit/check.js'
import { content, file, fresh, pattern, text, whole } from '../kit/files.js'
import { O, RWF, SEEK } from '../kit/flags.js'
import { withFileSizeLimit } from '../kit/limit.js'
import { sys } from '../kit/sys.js'

export const read = cases('read', add => {
  add('from the offset, which moves on', 'POSIX read', () => {
    const fd = fresh('f', 'abcdefgh')
    equal(
      [3, 3, 3, 3].map(size => sys.read(fd, size).toString()),
      ['abc', 'def', 'gh', ''],
    )
    equal(sys.lseek(fd, 0, SEEK.CUR), 8)
  })
  add('at and after the end there is nothing', 'POSIX read: 0 at or after the end of the file', () => {
    const fd = fresh('f', 'abc')
    equal([sys.pread(fd, 10, 3).length, sys.pread(fd, 10, 100).length], [0, 0])
    sys.lseek(fd, 1000)
    equal([sys.read(fd, 10).length, sys.lseek(fd, 0, SEEK.CUR)], [0, 1000])
  })
  add('pread leaves the offset', 'POSIX pread', () => {
    const fd = fresh('f', 'abcdef')
    sys.lseek(fd, 1)
    equal(sys.pread(fd, 2, 3).toString(), 'de')
    equal(sys.lseek(fd, 0, SEEK.CUR), 1)
  })
  add('pread at a negative offset', 'pread(2): EINVAL', () => {
    fails('EINVAL', () => sys.pread(fresh('f', 'abc'), 1, -1))
  })
  add('nothing is asked for', 'POSIX read: nbyte 0: returns 0', () => {
    equal(sys.read(fresh('f', 'abc'), 0).length, 0)
  })
  add('a directory', 'read(2): EISDIR', () => {
    sys.mkdir('d')
    fails('EISDIR', () => sys.read(sys.open('d'), 10))
  })
  add('readv fills one part after the other', 'POSIX readv', () => {
    const { count, parts } = sys.readv(fresh('f', 'abcdefg'), [2, 3, 4])
    equal(
      [count, parts[0]!.toString(), parts[1]!.toString(), parts[2]!.toString('latin1', 0, 2)],
      [7, 'ab', 'cde', 'fg'],
    )
  })
  add('preadv2 with offset -1 reads from the offset', 'preadv2(2): offset -1', () => {
    const fd = fresh('f', 'abcdef')
    sys.lseek(fd, 2)
    equal(sys.preadv2(fd, 2, -1, 0).toString(), 'cd')
    equal(sys.lseek(fd, 0, SEEK.CUR), 4)
  })
  add('a large read is whole', 'POSIX read: fewer bytes only at the end of a regular file', () => {
    const data = pattern(3_000_001)
    file('f', data)
    const fd = sys.open('f')
    equal(sys.read(fd, 4_000_000), data)
  })
  add('reads at and across page ends', 'POSIX pread', () => {
    const data = pattern(20_000)
    const fd = fresh('f', data)
    for (const [offset, size] of [
      [4095, 2],
      [4096, 1],
      [8191, 4098],
      [0, 1],
      [19_999, 10],
      [12_287, 1],
    ] as const) {
      equal(sys.pread(fd, size, offset), data.subarray(offset, offset + size), `${size} at ${offset}`)
    }
  })
  add('backwards, a byte at a time', 'POSIX pread', () => {
    const data = pattern(700)
    const fd = fresh('f', data)
    for (let i = data.length - 1; i >= 0; i--) equal(sys.pread(fd, 1, i)[0], data[i], `byte ${i}`)
  })
  add(
    'what another descriptor wrote is there at once',
    'POSIX write: any successful read returns the data written',
    () => {
      const reader = fresh('f', 'before')
      const writer = sys.open('f', O.WRONLY)
      for (let i = 0; i < 20; i++) {
        sys.pwrite(writer, `${i}`.padEnd(6), 0)
        equal(sys.pread(reader, 6, 0).toString(), `${i}`.padEnd(6))
      }
    },
  )
  add(
    'small writes, one where the other ended, are there at once',
    'POSIX write: any successful read returns the data written',
    () => {
      for (const size of [1000, 4096, 30_000, 32_768, 40_000]) {
        for (const flags of [0, O.APPEND]) {
          const fd = fresh(`f${size}.${flags}`, '', flags)
          const data = pattern(600_000)
          for (let at = 0; at < data.length; at += size) {
            const part = data.subarray(at, at + size)
            sys.pwrite(fd, part, at)
            equal(sys.pread(fd, size, at), part, `${size} bytes at ${at}`)
          }
          equal(whole(fd), data)
        }
      }
    },
  )
  add('what another process wrote is there at once', 'POSIX write: reads by other processes', async ({ actor }) => {
    const other = await actor()
    const fd = fresh('f', 'before')
    const theirs = await other.do('open', 'f', O.RDWR)
    for (let i = 0; i < 10; i++) {
      await other.do('pwrite', theirs, `theirs ${i}`, i)
      equal(sys.pread(fd, 20, i).toString(), `theirs ${i}`)
      sys.pwrite(fd, `ours ${i} `, i)
      equal(Buffer.from(await other.do('pread', theirs, 7, i)).toString(), `ours ${i} `)
    }
  })
  add('sendfile copies out', 'sendfile(2)', () => {
    const data = pattern(200_000)
    file('from', data)
    const to = fresh('to')
    const from = sys.open('from')
    let sent = 0
    while (sent < data.length) sent += sys.sendfile(to, from, data.length - sent)
    equal(content('to'), data)
  })
  add('splice moves from a pipe and into one', 'splice(2)', () => {
    const [reader, writer] = sys.pipe()
    sys.write(writer, 'through a pipe')
    const fd = fresh('f')
    equal(sys.splice(reader, fd, 14), 14)
    equal(text('f'), 'through a pipe')
    sys.lseek(fd, 8)
    equal(sys.splice(fd, writer, 100), 6)
    equal(sys.read(reader, 100).toString(), 'a pipe')
  })
})

export const write = cases('write', add => {
  add('at the offset, which moves on', 'POSIX write', () => {
    const fd = fresh('f')
    equal([sys.write(fd, 'abc'), sys.write(fd, 'defg'), sys.lseek(fd, 0, SEEK.CUR)], [3, 4, 7])
    equal(text('f'), 'abcdefg')
  })
  add('in the middle, nothing else changes', 'POSIX pwrite', () => {
    const data = pattern(10_000)
    const fd = fresh('f', data)
    sys.pwrite(fd, 'HELLO', 4094)
    Buffer.from('HELLO').copy(data, 4094)
    equal(whole(fd), data)
  })
  add('pwrite leaves the offset', 'POSIX pwrite', () => {
    const fd = fresh('f', 'abc')
    sys.pwrite(fd, 'X', 10)
    equal(sys.lseek(fd, 0, SEEK.CUR), 0)
    equal(whole(fd), Buffer.from('abc\0\0\0\0\0\0\0X'))
  })
  add('beyond the end: the gap reads as zeros', 'POSIX lseek, write: bytes in the gap are 0', () => {
    const fd = fresh('f', 'abc')
    sys.lseek(fd, 100_000)
    sys.write(fd, 'end')
    equal(whole(fd), Buffer.concat([Buffer.from('abc'), Buffer.alloc(99_997), Buffer.from('end')]))
  })
  add('nothing', 'POSIX write: nbyte 0: returns 0', () => {
    const fd = fresh('f', 'abc')
    equal([sys.write(fd, ''), sys.pwrite(fd, '', 100), sys.fstat(fd).size], [0, 0, 3])
  })
  add('pwrite at a negative offset', 'pwrite(2): EINVAL', () => {
    fails('EINVAL', () => sys.pwrite(fresh('f', 'abc'), 'x', -1))
  })
  add('writev puts one part after the other', 'POSIX writev', () => {
    const fd = fresh('f')
    equal(sys.writev(fd, [Buffer.from('one'), Buffer.alloc(0), Buffer.from('two'), pattern(10_000)]), 10_006)
    equal(whole(fd), Buffer.concat([Buffer.from('onetwo'), pattern(10_000)]))
  })
  for (const size of [1, 4095, 4096, 4097, 131_072, 131_073, 1_048_576, 1_048_577, 2_500_000]) {
    add(`${size} bytes at once`, 'POSIX write: all bytes of a regular file', () => {
      const data = pattern(size, size)
      const fd = fresh('f')
      equal(sys.write(fd, data), size)
      equal(sys.fstat(fd).size, size)
      equal(whole(fd), data)
    })
  }
  add('at an odd offset, over many pages', 'POSIX pwrite', () => {
    const data = pattern(1_300_000)
    const over = pattern(1_100_000, 9)
    const fd = fresh('f', data)
    sys.pwrite(fd, over, 77_777)
    over.copy(data, 77_777)
    equal(whole(fd), data)
  })
  add('a thousand small writes', 'POSIX write', () => {
    const fd = fresh('f')
    const lines = Array.from({ length: 1000 }, (_, i) => `line ${i}\n`)
    for (const line of lines) sys.write(fd, line)
    equal(text('f'), lines.join(''))
  })
  add('the size is there at once', 'POSIX write: st_size', () => {
    const fd = fresh('f')
    for (let i = 1; i <= 10; i++) {
      sys.write(fd, 'x'.repeat(1000))
      equal([sys.stat('f').size, sys.fstat(fd).size], [i * 1000, i * 1000])
    }
  })
  add('O_SYNC and O_DSYNC', 'open(2): O_SYNC, O_DSYNC', () => {
    for (const [name, flag] of [
      ['s', O.SYNC],
      ['d', O.DSYNC],
    ] as const) {
      const fd = fresh(name, '', flag)
      sys.write(fd, 'synced')
      equal(text(name), 'synced')
    }
  })
  add('RWF_DSYNC and RWF_SYNC', 'pwritev2(2): a per-write O_DSYNC, O_SYNC', () => {
    const fd = fresh('f')
    sys.pwritev2(fd, [Buffer.from('one')], 0, RWF.DSYNC)
    sys.pwritev2(fd, [Buffer.from('two')], 3, RWF.SYNC)
    equal(text('f'), 'onetwo')
  })
  add('an unknown flag of pwritev2', 'pwritev2(2): EOPNOTSUPP', () => {
    fails('EOPNOTSUPP', () => sys.pwritev2(fresh('f'), [Buffer.from('x')], 0, 0x40000000))
  })
  add('the limit of the process cuts, then fails', 'write(2), setrlimit(2): EFBIG beyond RLIMIT_FSIZE', () => {
    const fd = fresh('f')
    withFileSizeLimit(1000, () => {
      equal(sys.write(fd, 'x'.repeat(1500)), 1000)
      fails('EFBIG', () => sys.write(fd, 'x'))
    })
    equal(sys.stat('f').size, 1000)
  })
  add('at the largest offset', 'write(2): EFBIG: at a position past the maximum allowed offset', () => {
    const fd = fresh('f')
    fails(['EFBIG', 'EINVAL'], () => sys.pwrite(fd, 'x', (1n << 63n) - 1n))
    equal(sys.fstat(fd).size, 0)
  })
  add('two descriptors write by turns', 'POSIX write', () => {
    const [a, b] = [fresh('f'), sys.open('f', O.RDWR)]
    for (let i = 0; i < 50; i++) {
      sys.pwrite(a, 'aaaa', i * 8)
      sys.pwrite(b, 'bbbb', i * 8 + 4)
    }
    equal(text('f'), 'aaaabbbb'.repeat(50))
  })
  add('a file of zeros', 'POSIX write: zeros are data', () => {
    const fd = fresh('f', Buffer.alloc(100_000))
    equal([sys.fstat(fd).size, whole(fd)], [100_000, Buffer.alloc(100_000)])
  })
})

export const append = cases('append', add => {
  const opened = (content = 'start'): number => fresh('f', content, O.APPEND)

  add('each write goes to the end', 'POSIX write: O_APPEND', () => {
    const fd = opened()
    sys.lseek(fd, 0)
    sys.write(fd, '+1')
    equal([text('f'), sys.lseek(fd, 0, SEEK.CUR)], ['start+1', 7])
  })
  add('reading starts where the offset is', 'open(2): O_APPEND is for writes', () => {
    const fd = sys.open('f', O.CREAT | O.RDWR | O.APPEND)
    sys.write(fd, 'abc')
    sys.lseek(fd, 0)
    equal(sys.read(fd, 2).toString(), 'ab')
  })
  add('pwrite appends, too', 'pwrite(2), BUGS: appends whatever the offset', () => {
    const fd = opened()
    sys.pwrite(fd, '+1', 0)
    equal(text('f'), 'start+1')
  })
  add('two descriptors never overwrite each other', 'POSIX write: O_APPEND: no intervening modification', () => {
    const [a, b] = [opened(''), sys.open('f', O.WRONLY | O.APPEND)]
    for (let i = 0; i < 30; i++) {
      sys.write(a, `a${i};`)
      sys.write(b, `b${i};`)
    }
    equal(text('f'), Array.from({ length: 30 }, (_, i) => `a${i};b${i};`).join(''))
  })
  add('two processes lose no record and tear none', 'POSIX write: O_APPEND', async ({ actor }) => {
    file('f')
    const [first, second] = await Promise.all([actor(0), actor(1)])
    const count = 100
    await Promise.all([
      first.do('appendRecords', 'f', 'a', 100, count),
      second.do('appendRecords', 'f', 'b', 100, count),
    ])
    const records = text('f').match(/.{100}/gs) ?? []
    const whole = (letter: string): number => records.filter(record => record === letter.repeat(100)).length
    equal([records.length, whole('a'), whole('b')], [2 * count, count, count])
  })
  add('after a truncation the end is elsewhere', 'open(2): O_APPEND: before each write', () => {
    const fd = opened('a long start')
    sys.truncate('f', 2)
    sys.write(fd, '+1')
    equal(text('f'), 'a +1')
  })
  add('F_SETFL turns it on and off', 'fcntl(2): F_SETFL: O_APPEND', () => {
    const fd = fresh('f', 'start')
    sys.fcntl(fd, 4, O.APPEND)
    sys.write(fd, '+1')
    sys.fcntl(fd, 4, 0)
    sys.pwrite(fd, 'S', 0)
    equal(text('f'), 'Start+1')
  })
  add('RWF_APPEND', 'pwritev2(2): a per-write O_APPEND', () => {
    const fd = fresh('f', 'start')
    sys.pwritev2(fd, [Buffer.from('+1')], -1, RWF.APPEND)
    equal(text('f'), 'start+1')
  })
  add('a large record', 'POSIX write: O_APPEND', () => {
    const data = pattern(1_500_000)
    const fd = opened('')
    sys.write(fd, data)
    sys.write(fd, data)
    equal(sys.fstat(fd).size, 3_000_000)
    equal(sys.pread(fd, 1_500_000, 1_500_000), data)
  })
  add('with O_TRUNC', 'open(2)', () => {
    file('f', 'before')
    const fd = sys.open('f', O.WRONLY | O.APPEND | O.TRUNC)
    sys.write(fd, 'a')
    sys.write(fd, 'b')
    equal(text('f'), 'ab')
  })
})
