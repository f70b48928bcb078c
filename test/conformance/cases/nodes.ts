import { cases } from '../case.js'
import { equal, fails } from '../kit/check.js'
import { file, list } from '../kit/files.js'
import { O, S } from '../kit/flags.js'
import { alice, as } from '../kit/identity.js'
import { socket } from '../kit/socket.js'
import { sys } from '../kit/sys.js'
import { isRecent, marks } from '../kit/time.js'

export const mknod = cases('mknod', add => {
  add('a regular file', 'mknod(2): S_IFREG', () => {
    sys.mknod('f', S.IFREG | 0o640)
    const { type, perm, size, mtime } = sys.stat('f')
    equal([type, perm, size], [S.IFREG, 0o640, 0])
    isRecent(mtime, 'mtime')
    sys.write(sys.open('f', O.WRONLY), 'x')
    equal(sys.stat('f').size, 1)
  })
  for (const [what, type] of [
    ['a fifo', S.IFIFO],
    ['a socket', S.IFSOCK],
  ] as const) {
    add(`${what}, by anyone`, 'mknod(2): S_IFIFO and S_IFSOCK need no privilege', () => {
      process.umask(0o022)
      as(alice, () => sys.mknod('n', type | 0o666))
      const { perm, uid, size, nlink, ...rest } = sys.lstat('n')
      equal([rest.type, perm, uid, size, nlink], [type, 0o644, alice.uid, 0, 1])
    })
  }
  for (const [what, type, major, minor] of [
    ['a character device', S.IFCHR, 1, 3],
    ['a block device', S.IFBLK, 7, 200],
    ['a device with the largest numbers', S.IFCHR, 4095, 1_048_575],
    ['a device with a minor of more than eight bits', S.IFBLK, 259, 0x12345],
  ] as const) {
    add(
      `${what}`,
      'mknod(2): dev; makedev(3)',
      () => {
        sys.mknod('n', type | 0o600, major, minor)
        const found = sys.lstat('n')
        equal([found.type, found.rdev], [type, `${major}:${minor}`])
      },
      { needs: ['root'] },
    )
  }
  add('a device by an unprivileged user', 'mknod(2): EPERM', () => {
    for (const type of [S.IFCHR, S.IFBLK]) fails('EPERM', () => as(alice, () => sys.mknod('n', type | 0o600, 1, 3)))
    equal(list(), [])
  })
  add('a directory', 'mknod(2): EPERM (POSIX leaves it open)', () => {
    fails(['EPERM', 'EINVAL'], () => sys.mknod('n', S.IFDIR | 0o700))
  })
  add('a symlink', 'mknod(2): EINVAL', () => {
    fails('EINVAL', () => sys.mknod('n', S.IFLNK | 0o700))
  })
  add('the name exists', 'mknod(2): EEXIST', () => {
    file('f')
    sys.symlink('nowhere', 'l')
    for (const name of ['f', 'l', '.']) fails('EEXIST', () => sys.mknod(name, S.IFIFO | 0o600), name)
  })
  add('a missing directory', 'mknod(2): ENOENT', () => {
    fails('ENOENT', () => sys.mknod('missing/n', S.IFIFO | 0o600))
  })
  add('the directory is marked', 'POSIX mknod: mtime and ctime of the parent directory', () => {
    sys.mkdir('d')
    equal(
      marks('d', () => sys.mknod('d/n', S.IFIFO | 0o600)),
      'mtime ctime',
    )
  })
  add(
    'chmod, chown and link keep the type',
    'POSIX: attributes of special files',
    () => {
      sys.mknod('n', S.IFCHR | 0o600, 1, 3)
      sys.chmod('n', 0o666)
      sys.chown('n', 5, 6)
      sys.link('n', 'm')
      const { type, perm, uid, gid, rdev, nlink } = sys.lstat('m')
      equal([type, perm, uid, gid, rdev, nlink], [S.IFCHR, 0o666, 5, 6, '1:3', 2])
    },
    { needs: ['root'] },
  )
})

export const special = cases('special-files', add => {
  const fifo = (): number => sys.mknod('p', S.IFIFO | 0o666)

  add('what is written to a fifo is read from it', 'fifo(7)', () => {
    fifo()
    const reader = sys.open('p', O.RDONLY | O.NONBLOCK)
    const writer = sys.open('p', O.WRONLY | O.NONBLOCK)
    sys.write(writer, 'through')
    equal(sys.read(reader, 100).toString(), 'through')
    equal(sys.stat('p').size, 0)
  })
  add('a fifo without a reader', 'open(2): ENXIO: O_NONBLOCK | O_WRONLY', () => {
    fifo()
    fails('ENXIO', () => sys.open('p', O.WRONLY | O.NONBLOCK))
  })
  add('a fifo between two processes', 'fifo(7): open waits for the other end', async ({ actor }) => {
    fifo()
    const other = await actor()
    const opened = other.do('open', 'p', O.WRONLY)
    await other.sleeps()
    const reader = sys.open('p', O.RDONLY)
    await other.do('write', await opened, 'from the other')
    equal(sys.read(reader, 100).toString(), 'from the other')
  })
  add('a fifo gives end of file when its writer closed', 'pipe(7): read returns 0', () => {
    fifo()
    const reader = sys.open('p', O.RDONLY | O.NONBLOCK)
    const writer = sys.open('p', O.WRONLY)
    sys.close(writer)
    equal(sys.read(reader, 10).length, 0)
  })
  add('a fifo has no offset', 'lseek(2), pread(2): ESPIPE', () => {
    fifo()
    const fd = sys.open('p', O.RDWR)
    fails('ESPIPE', () => sys.lseek(fd, 0))
    fails('ESPIPE', () => sys.pread(fd, 1, 0))
  })
  add('a fifo has no size to set', 'truncate(2), ftruncate(2): EINVAL', () => {
    fifo()
    fails('EINVAL', () => sys.truncate('p', 0))
    const fd = sys.open('p', O.RDWR)
    fails('EINVAL', () => sys.ftruncate(fd, 0))
  })
  add('a fifo is not synced', 'fsync(2): EINVAL', () => {
    fifo()
    const fd = sys.open('p', O.RDWR)
    fails('EINVAL', () => sys.fsync(fd))
  })
  add('two names of a fifo are one pipe', 'fifo(7)', () => {
    fifo()
    sys.link('p', 'q')
    const reader = sys.open('p', O.RDONLY | O.NONBLOCK)
    sys.write(sys.open('q', O.WRONLY | O.NONBLOCK), 'x')
    equal(sys.read(reader, 10).toString(), 'x')
  })
  add('bind makes a socket', 'unix(7): bind', () => {
    process.umask(0o022)
    const fd = socket.create()
    try {
      socket.bind(fd, 's')
      const { type, perm } = sys.lstat('s')
      equal([type, perm], [S.IFSOCK, 0o755])
    } finally {
      sys.close(fd)
    }
  })
  add('a socket is found by its name', 'unix(7): connect', () => {
    const [server, client] = [socket.create(), socket.create()]
    try {
      socket.bind(server, 's')
      socket.listen(server)
      sys.rename('s', 't')
      socket.connect(client, 't')
    } finally {
      sys.close(server)
      sys.close(client)
    }
  })
  add('a socket’s name is taken', 'unix(7): EADDRINUSE', () => {
    file('f')
    const fd = socket.create()
    try {
      fails('EADDRINUSE', () => socket.bind(fd, 'f'))
    } finally {
      sys.close(fd)
    }
  })
  add('nobody listens', 'unix(7): ECONNREFUSED', () => {
    sys.mknod('s', S.IFSOCK | 0o777)
    file('f')
    const fd = socket.create()
    try {
      fails('ECONNREFUSED', () => socket.connect(fd, 's'))
      fails('ECONNREFUSED', () => socket.connect(fd, 'f'))
      fails('ENOENT', () => socket.connect(fd, 'missing'))
    } finally {
      sys.close(fd)
    }
  })
  add('a socket without write permission', 'unix(7): EACCES', () => {
    const [server, client] = [socket.create(), socket.create()]
    try {
      socket.bind(server, 's')
      socket.listen(server)
      sys.chmod('s', 0o755)
      fails('EACCES', () => as(alice, () => socket.connect(client, 's')))
    } finally {
      sys.close(server)
      sys.close(client)
    }
  })
  add('a socket cannot be opened', 'open(2): ENXIO', () => {
    sys.mknod('s', S.IFSOCK | 0o777)
    fails('ENXIO', () => sys.open('s', O.RDWR))
  })
  add(
    'a device node is the device',
    'null(4)',
    () => {
      sys.mknod('null', S.IFCHR | 0o666, 1, 3)
      sys.mknod('zero', S.IFCHR | 0o666, 1, 5)
      const fd = sys.open('null', O.RDWR)
      equal([sys.write(fd, 'gone'), sys.read(fd, 10).length], [4, 0])
      equal(sys.read(sys.open('zero'), 4), Buffer.alloc(4))
      equal(sys.stat('null').size, 0)
    },
    { needs: ['device nodes'] },
  )
  add(
    'a device that is not there',
    'open(2): ENXIO',
    () => {
      sys.mknod('n', S.IFCHR | 0o666, 4000, 1)
      fails('ENXIO', () => sys.open('n'))
    },
    { needs: ['device nodes'] },
  )
  add(
    'a device without permission',
    'open(2): EACCES',
    () => {
      sys.mknod('null', S.IFCHR | 0o600, 1, 3)
      fails('EACCES', () => as(alice, () => sys.open('null')))
    },
    { needs: ['device nodes'] },
  )
  add('FIONREAD of a fifo', 'ioctl_list(2), pipe(7): bytes in the pipe', () => {
    fifo()
    const fd = sys.open('p', O.RDWR | O.NONBLOCK)
    sys.write(fd, 'four')
    const count = Buffer.alloc(4)
    sys.ioctl(fd, 0x541b, count)
    equal(count.readInt32LE(0), 4)
  })
  add('O_TRUNC and O_APPEND do nothing to a fifo', 'POSIX open: O_TRUNC has no effect on a FIFO', () => {
    fifo()
    const fd = sys.open('p', O.RDWR | O.NONBLOCK)
    sys.write(fd, 'kept')
    sys.open('p', O.WRONLY | O.TRUNC | O.APPEND | O.NONBLOCK)
    equal(sys.read(fd, 10).toString(), 'kept')
  })
})
