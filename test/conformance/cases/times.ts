import { cases } from '../case.js'
import { equal, fails, ok } from '../kit/check.js'
import { file, fresh } from '../kit/files.js'
import { O, UTIME_NOW, UTIME_OMIT } from '../kit/flags.js'
import { alice, as, bob } from '../kit/identity.js'
import { sys } from '../kit/sys.js'
import { isRecent, marks, past, tick } from '../kit/time.js'

const second = 1_000_000_000n
const now = { nanoseconds: UTIME_NOW }
const omit = { nanoseconds: UTIME_OMIT }

export const utimensat = cases('utimensat', add => {
  const times = (path = 'f'): [bigint, bigint] => [sys.lstat(path).atime, sys.lstat(path).mtime]

  add('nanoseconds, each time its own', 'POSIX utimensat; st_atim, st_mtim', () => {
    file('f')
    sys.utimens('f', past + 123_456_789n, past + 2n * second + 1n)
    equal(times(), [past + 123_456_789n, past + 2n * second + 1n])
  })
  for (const [what, time] of [
    ['the beginning of 1970', 0n],
    ['the first nanosecond', 1n],
    ['a moment before 1970', -1n],
    ['a year before 1970', -31_536_000n * second + 5n],
    ['1901', -(1n << 31n) * second],
    ['after 2038', (1n << 31n) * second + 7n],
    ['after 2106', (1n << 32n) * second + 999_999_999n],
    ['2242', (1n << 33n) * second],
  ] as const) {
    add(what, 'POSIX utimensat: time_t of 64 bits', () => {
      file('f')
      sys.utimens('f', time, time)
      equal(times(), [time, time])
    })
  }
  add('a directory', 'POSIX utimensat: files of all types', () => {
    sys.mkdir('d')
    sys.utimens('d', past, past + 1n)
    equal(times('d'), [past, past + 1n])
  })
  add('an open file', 'futimens(3)', () => {
    const fd = fresh('f')
    sys.futimens(fd, past + 1n, past + 2n)
    equal(times(), [past + 1n, past + 2n])
  })
  add('a descriptor for reading is enough', 'futimens(3): the owner', () => {
    file('f')
    sys.futimens(sys.open('f'), past, past)
    equal(times(), [past, past])
  })
  add('UTIME_NOW', 'utimensat(2): the greatest value not greater than now', () => {
    file('f')
    sys.utimens('f', past, past)
    sys.utimens('f', now, now)
    const [atime, mtime] = times()
    isRecent(atime, 'atime')
    equal(mtime, atime)
  })
  add('UTIME_NOW for one alone', 'utimensat(2)', () => {
    file('f')
    sys.utimens('f', past, now)
    equal(times()[0], past)
    isRecent(times()[1], 'mtime')
    sys.utimens('f', now, past)
    isRecent(times()[0], 'atime')
    equal(times()[1], past)
  })
  add('UTIME_OMIT leaves one', 'utimensat(2): the value is left unchanged', () => {
    file('f')
    sys.utimens('f', past, past + 5n)
    sys.utimens('f', omit, past + 9n)
    equal(times(), [past, past + 9n])
    sys.utimens('f', past + 3n, omit)
    equal(times(), [past + 3n, past + 9n])
  })
  add('UTIME_OMIT for both does nothing', 'utimensat(2): no permission is needed, ctime stays', () => {
    file('f')
    const before = sys.stat('f')
    tick()
    as(alice, () => sys.utimens('f', omit, omit))
    equal(sys.stat('f'), before)
  })
  add('no times means now', 'utimensat(2): times is NULL', () => {
    file('f')
    sys.utimens('f', past, past)
    sys.touch('f')
    isRecent(times()[0], 'atime')
    isRecent(times()[1], 'mtime')
  })
  add('the status change time is now', 'POSIX utimensat: marks ctime', () => {
    file('f')
    const before = sys.stat('f').ctime
    tick()
    sys.utimens('f', past, past)
    ok(sys.stat('f').ctime > before, 'ctime is newer')
    isRecent(sys.stat('f').ctime, 'ctime')
  })
  add('nanoseconds of a whole second', 'utimensat(2): EINVAL', () => {
    file('f')
    fails('EINVAL', () => sys.utimens('f', { nanoseconds: 1_000_000_000 }, past))
    fails('EINVAL', () => sys.utimens('f', past, { nanoseconds: -1 }))
  })
  add('a missing name', 'utimensat(2): ENOENT', () => {
    fails('ENOENT', () => sys.utimens('missing', past, past))
  })
  add('a given time is the owner’s to set', 'utimensat(2): EPERM', () => {
    file('f', '', 0o666)
    fails('EPERM', () => as(alice, () => sys.utimens('f', past, past)))
    sys.chown('f', alice.uid, -1)
    as(alice, () => sys.utimens('f', past, past))
    equal(times(), [past, past])
  })
  add('now is set by who may write', 'utimensat(2): write access is enough', () => {
    file('f', '', 0o666)
    sys.utimens('f', past, past)
    as(alice, () => sys.touch('f'))
    isRecent(times()[1], 'mtime')
    sys.utimens('f', past, past)
    as(alice, () => sys.utimens('f', now, now))
    isRecent(times()[1], 'mtime')
  })
  add('now without write permission', 'utimensat(2): EACCES', () => {
    file('f', '', 0o644)
    fails('EACCES', () => as(alice, () => sys.touch('f')))
    fails('EACCES', () => as(alice, () => sys.utimens('f', now, now)))
  })
  add('now for one alone is the owner’s', 'utimensat(2): EPERM: one UTIME_NOW and one UTIME_OMIT', () => {
    file('f', '', 0o666)
    fails('EPERM', () => as(bob, () => sys.utimens('f', now, omit)))
    fails('EPERM', () => as(bob, () => sys.utimens('f', omit, now)))
  })
  add(
    'the owner needs no write permission',
    'utimensat(2): the effective user ID matches',
    () => {
      file('f', '', 0o444)
      sys.chown('f', alice.uid, alice.gid)
      as(alice, () => sys.touch('f'))
      as(alice, () => sys.utimens('f', past, past))
      equal(times(), [past, past])
    },
    { needs: ['root'] },
  )
  add('set times survive a rename, a chmod and a link', 'POSIX: they mark ctime alone', () => {
    file('f')
    sys.utimens('f', past, past + 1n)
    sys.chmod('f', 0o600)
    sys.link('f', 'g')
    sys.rename('f', 'h')
    equal(times('h'), [past, past + 1n])
  })
  add('set times survive a close after a write', 'POSIX write: marks at the write', () => {
    const fd = sys.open('f', O.CREAT | O.WRONLY)
    sys.write(fd, 'data')
    sys.futimens(fd, past, past + 1n)
    sys.fsync(fd)
    sys.close(fd)
    equal(times(), [past, past + 1n])
  })
})

export const timestamps = cases('timestamps', add => {
  const unchanged: [string, () => unknown][] = [
    ['stat', () => sys.stat('f')],
    ['access', () => sys.access('f', 4)],
    ['open for writing and close', () => sys.close(sys.open('f', O.RDWR))],
    ['fsync', () => sys.fsync(sys.open('f', O.RDWR))],
    ['a write of nothing', () => sys.write(sys.open('f', O.RDWR), '')],
    ['lseek', () => sys.lseek(sys.open('f'), 3)],
  ]
  for (const [what, call] of unchanged) {
    add(`${what} marks nothing`, 'POSIX 4.12 File times update: only where it is specified', () => {
      file('f', 'content')
      equal(marks('f', call), '')
    })
  }
  const content: [string, () => unknown][] = [
    ['write', () => sys.write(sys.open('f', O.WRONLY), 'x')],
    ['pwrite', () => sys.pwrite(sys.open('f', O.WRONLY), 'x', 100)],
    ['an appending write', () => sys.write(sys.open('f', O.WRONLY | O.APPEND), 'x')],
    ['writev', () => sys.writev(sys.open('f', O.WRONLY), [Buffer.from('a'), Buffer.from('b')])],
    ['fallocate that extends', () => sys.fallocate(sys.open('f', O.WRONLY), 0, 0, 10_000)],
    ['a punched hole', () => sys.fallocate(sys.open('f', O.WRONLY), 3, 0, 4)],
    ['copy_file_range into it', () => sys.copyFileRange(sys.open('g'), 0, sys.open('f', O.WRONLY), 0, 4)],
  ]
  for (const [what, call] of content) {
    add(`${what} marks modification and status change`, 'POSIX write: mtime and ctime', () => {
      file('f', 'content')
      file('g', 'other')
      equal(marks('f', call), 'mtime ctime')
    })
  }
  add('modification and status change are the same moment', 'POSIX write', () => {
    const fd = fresh('f')
    tick()
    sys.write(fd, 'x')
    equal(sys.fstat(fd).ctime, sys.fstat(fd).mtime)
  })
  add('two changes a moment apart have two times', 'POSIX 4.12; nanoseconds of st_mtim', () => {
    const fd = fresh('f')
    sys.write(fd, 'x')
    const first = sys.fstat(fd).mtime
    tick()
    sys.write(fd, 'y')
    const apart = sys.fstat(fd).mtime - first
    ok(apart > 0n && apart < 5n * second, `${apart} ns apart`)
  })
  add('the mark is in the order of the changes', 'POSIX 4.12', () => {
    for (let i = 0; i < 10; i++) {
      file(`f${i}`)
      if (i > 0) ok(sys.stat(`f${i}`).mtime >= sys.stat(`f${i - 1}`).mtime, `f${i} is not older`)
    }
  })
  add('a write of the same bytes marks', 'POSIX write', () => {
    file('f', 'same')
    equal(
      marks('f', () => sys.pwrite(sys.open('f', O.WRONLY), 'same', 0)),
      'mtime ctime',
    )
  })
  add('a change in a file does not mark its directory', 'POSIX write, chmod: the file alone', () => {
    sys.mkdir('d')
    file('d/f')
    equal(
      marks('d', () => {
        sys.truncate('d/f', 10)
        sys.chmod('d/f', 0o600)
      }),
      '',
    )
  })
  add('a change in a directory does not mark the one above', 'POSIX open: the parent directory', () => {
    sys.mkdir('d')
    sys.mkdir('d/e')
    equal(
      marks('d', () => file('d/e/f')),
      '',
    )
  })
  add('a failed call marks nothing', 'POSIX 4.12: upon successful completion', () => {
    sys.mkdir('d')
    file('d/f')
    equal(
      marks('d', () => {
        fails('EEXIST', () => sys.mkdir('d/f'))
        fails('ENOENT', () => sys.unlink('d/missing'))
        fails('ENOTDIR', () => sys.rmdir('d/f'))
      }),
      '',
    )
  })
})

export const accessTimes = cases('access-times', add => {
  const atime = { needs: ['access times'] as const }
  const day = 86_400n * second
  /** What a call makes of the access time, set before it, with the modification at another time. */
  const after = (path: string, access: bigint, modification: bigint, call: () => unknown): 'kept' | 'now' => {
    sys.utimens(path, access, modification, 0x100)
    tick()
    call()
    const found = sys.lstat(path).atime
    if (found === access) return 'kept'
    isRecent(found, 'atime')
    return 'now'
  }
  const recent = (): bigint => BigInt(Date.now()) * 1_000_000n - 60n * second

  for (const [what, make, read] of [
    ['read', () => file('f', 'content'), () => sys.read(sys.open('f'), 3)],
    ['pread', () => file('f', 'content'), () => sys.pread(sys.open('f'), 3, 2)],
    ['readv', () => file('f', 'content'), () => sys.readv(sys.open('f'), [2, 2])],
    ['readlink', () => sys.symlink('target', 'f'), () => sys.readlink('f')],
    ['following a link', () => sys.symlink('.', 'f'), () => sys.stat('f')],
    [
      'a listing',
      () => {
        sys.mkdir('f')
        file('f/x')
      },
      () => sys.getdents(sys.open('f', O.DIRECTORY)),
    ],
  ] as const) {
    add(
      `${what} marks an access time older than the modification`,
      'POSIX read, readlink, readdir: atime; mount(8): relatime',
      () => {
        make()
        equal(after('f', past, past + second, read), 'now')
      },
      atime,
    )
  }
  add(
    'reading marks nothing else',
    'POSIX read: atime alone',
    () => {
      file('f', 'content')
      equal(
        marks('f', () => sys.pread(sys.open('f'), 3, 0)),
        'atime',
      )
    },
    atime,
  )
  add(
    'relatime: a day later it is marked',
    'mount(8): relatime: not earlier than 24 hours',
    () => {
      file('f', 'content')
      equal(
        after('f', recent() - 2n * day, past, () => sys.pread(sys.open('f'), 3, 0)),
        'now',
      )
    },
    atime,
  )
  add(
    'relatime: within a day it is kept',
    'mount(8): relatime: later than the modification',
    () => {
      file('f', 'content')
      const ahead = BigInt(Date.now()) * 1_000_000n + 600n * second
      equal(
        after('f', ahead, past, () => sys.pread(sys.open('f'), 3, 0)),
        'kept',
      )
    },
    atime,
  )
  add(
    'relatime: a change since is marked',
    'mount(8): relatime: atime not later than mtime or ctime',
    () => {
      const fd = fresh('f', 'content')
      sys.pread(fd, 3, 0)
      const before = sys.fstat(fd).atime
      tick()
      sys.pwrite(fd, 'x', 0)
      // a kernel that is told to forget a page may hear of it a moment after write(2) has returned
      for (const end = Date.now() + 5000; sys.fstat(fd).atime <= before && Date.now() < end;) {
        tick()
        sys.pread(fd, 3, 0)
      }
      ok(sys.fstat(fd).atime > before, 'atime is newer')
      const marked = sys.fstat(fd).atime
      tick()
      sys.pread(fd, 3, 0)
      equal(sys.fstat(fd).atime, marked, 'a second read')
    },
    atime,
  )
  add(
    'O_NOATIME keeps it',
    'open(2): O_NOATIME',
    () => {
      file('f', 'content')
      equal(
        after('f', past, past + second, () => sys.pread(sys.open('f', O.NOATIME), 3, 0)),
        'kept',
      )
    },
    atime,
  )
  add(
    'a read by another user marks it',
    'POSIX read: atime; no permission to change is needed',
    () => {
      file('f', 'content', 0o644)
      equal(
        after('f', past, past + second, () => as(alice, () => sys.pread(sys.open('f'), 3, 0))),
        'now',
      )
    },
    atime,
  )
  add('writing keeps it', 'POSIX write: mtime and ctime alone', () => {
    file('f', 'content')
    equal(
      after('f', past, past + second, () => sys.pwrite(sys.open('f', O.WRONLY), 'x', 0)),
      'kept',
    )
  })
  add('a mark does not move the modification back', 'POSIX read: atime alone', () => {
    const fd = fresh('f', 'content')
    sys.futimens(fd, past, past + 5n)
    sys.pread(fd, 1, 0)
    equal(sys.fstat(fd).mtime, past + 5n)
    sys.close(fd)
    equal(sys.stat('f').mtime, past + 5n)
  })
})
