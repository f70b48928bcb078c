import { cases } from '../case.js'
import { equal, fails, ok } from '../kit/check.js'
import { content, exists, file, fresh, list, text, whole } from '../kit/files.js'
import { O, S, SEEK } from '../kit/flags.js'
import { alice, as } from '../kit/identity.js'
import { copyProgram } from '../kit/program.js'
import { sys } from '../kit/sys.js'
import { isRecent, marks } from '../kit/time.js'
import { spawn } from 'node:child_process'

export const open = cases('open', add => {
  add('O_CREAT makes a file with the mode asked for', 'POSIX open: O_CREAT', () => {
    sys.open('f', O.CREAT | O.WRONLY, 0o640)
    const { type, perm, size, nlink } = sys.stat('f')
    equal({ type, perm, size, nlink }, { type: S.IFREG, perm: 0o640, size: 0, nlink: 1 })
  })
  add('O_CREAT takes the umask off', 'umask(2): used by open when it creates', () => {
    process.umask(0o027)
    sys.open('f', O.CREAT | O.WRONLY, 0o666)
    equal(sys.stat('f').perm, 0o640)
  })
  add('O_CREAT keeps set-uid, set-gid and sticky bits', 'open(2): mode: the twelve bits', () => {
    sys.open('f', O.CREAT | O.WRONLY, 0o7711)
    equal(sys.stat('f').perm, 0o7711)
  })
  add(
    'O_CREAT of an existing file changes nothing of it',
    'POSIX open: if the file exists, O_CREAT has no effect',
    () => {
      file('f', 'kept', 0o600)
      equal(
        marks('f', () => sys.open('f', O.CREAT | O.RDWR, 0o777)),
        '',
      )
      equal([sys.stat('f').perm, text('f')], [0o600, 'kept'])
    },
  )
  add(
    'O_CREAT of an existing file does not mark the directory',
    'POSIX open: the parent is marked if the file did not exist',
    () => {
      sys.mkdir('d')
      file('d/f')
      equal(
        marks('d', () => sys.open('d/f', O.CREAT | O.RDWR)),
        '',
      )
    },
  )
  add('O_CREAT marks the directory', 'POSIX open: mtime and ctime of the parent directory', () => {
    sys.mkdir('d')
    equal(
      marks('d', () => sys.open('d/f', O.CREAT | O.RDWR)),
      'mtime ctime',
    )
  })
  add('a new file has all its times from now', 'POSIX open: atime, mtime, ctime of the file', () => {
    sys.open('f', O.CREAT | O.WRONLY)
    const { atime, mtime, ctime } = sys.stat('f')
    isRecent(mtime, 'mtime')
    equal([atime, ctime], [mtime, mtime])
  })
  add('a new file belongs to who made it', 'POSIX open: the user ID is the effective user ID', () => {
    as({ uid: 61001, gid: 61005 }, () => sys.open('f', O.CREAT | O.WRONLY))
    const { uid, gid } = sys.stat('f')
    equal([uid, gid], [61001, 61005])
  })
  add(
    'a mode without write permission binds later opens alone',
    'POSIX open: mode does not affect the access of this open',
    () => {
      as(alice, () => {
        const fd = sys.open('f', O.CREAT | O.RDWR, 0o444)
        sys.pwrite(fd, 'x', 0)
        fails('EACCES', () => sys.open('f', O.WRONLY))
        equal(text('f'), 'x')
      })
    },
  )
  for (const [what, make] of [
    ['a file', () => file('f')],
    ['a directory', () => sys.mkdir('f')],
    ['a symlink', () => sys.symlink('/', 'f')],
    ['a dangling symlink', () => sys.symlink('nowhere', 'f')],
    ['a fifo', () => sys.mknod('f', S.IFIFO | 0o600)],
  ] as const) {
    add(`O_EXCL fails on ${what}`, 'POSIX open: O_EXCL: EEXIST; symbolic links are not followed', () => {
      make()
      fails('EEXIST', () => sys.open('f', O.CREAT | O.EXCL | O.RDWR))
      ok(!exists('nowhere'), 'the target of the link is not made')
    })
  }
  add('O_CREAT through a dangling symlink makes its target', 'open(2): O_CREAT follows symbolic links', () => {
    sys.symlink('target', 'l')
    sys.close(sys.open('l', O.CREAT | O.WRONLY))
    equal(list(), ['l', 'target'])
    equal(sys.lstat('l').type, S.IFLNK)
  })
  add('O_TRUNC empties', 'POSIX open: O_TRUNC', () => {
    file('f', 'content', 0o640)
    const { ino } = sys.stat('f')
    const fd = sys.open('f', O.WRONLY | O.TRUNC)
    equal([sys.fstat(fd).size, sys.stat('f').ino, sys.stat('f').perm], [0, ino, 0o640])
    equal(sys.stat('f').blocks, 0)
  })
  add('O_TRUNC shows to those who have the file open', 'POSIX open: the length is truncated to 0', () => {
    const reader = fresh('f', 'content')
    equal(whole(reader).toString(), 'content')
    sys.open('f', O.WRONLY | O.TRUNC)
    equal([whole(reader).length, sys.fstat(reader).size], [0, 0])
  })
  add('O_TRUNC marks the file', 'POSIX open: O_TRUNC: mtime and ctime', () => {
    file('f', 'content')
    equal(
      marks('f', () => sys.open('f', O.WRONLY | O.TRUNC)),
      'mtime ctime',
    )
  })
  add('O_TRUNC marks an empty file, too', 'POSIX open: O_TRUNC: upon success mtime and ctime', () => {
    file('f')
    equal(
      marks('f', () => sys.open('f', O.WRONLY | O.TRUNC)),
      'mtime ctime',
    )
  })
  add('O_CREAT with O_TRUNC, then a shorter content', 'POSIX open: O_TRUNC', () => {
    file('f', 'a long content')
    const fd = sys.open('f', O.CREAT | O.TRUNC | O.WRONLY)
    sys.write(fd, 'short')
    equal(text('f'), 'short')
  })
  add('O_DIRECTORY on a file', 'open(2): ENOTDIR', () => {
    file('f')
    fails('ENOTDIR', () => sys.open('f', O.DIRECTORY))
  })
  add('O_NOFOLLOW on a symlink', 'open(2): ELOOP', () => {
    file('f')
    sys.symlink('f', 'l')
    fails('ELOOP', () => sys.open('l', O.NOFOLLOW))
  })
  add('O_NOFOLLOW binds the last component alone', 'open(2): links in earlier components are followed', () => {
    sys.mkdir('d')
    file('d/f')
    sys.symlink('d', 'l')
    sys.open('l/f', O.NOFOLLOW)
  })
  add('O_PATH gives a reference and no file', 'open(2): O_PATH: read, write, fchmod: EBADF', () => {
    file('f', 'x')
    const fd = sys.open('f', O.PATH)
    equal(sys.fstat(fd).ino, sys.stat('f').ino)
    fails('EBADF', () => sys.read(fd, 1))
    fails('EBADF', () => sys.fchmod(fd, 0o600))
    fails('EBADF', () => sys.ftruncate(fd, 0))
  })
  add(
    'O_PATH asks for no permission of the file',
    'open(2): O_PATH requires no permissions on the object itself',
    () => {
      file('f', 'x', 0)
      as(alice, () => {
        fails('EACCES', () => sys.open('f'))
        equal(sys.fstat(sys.open('f', O.PATH)).size, 1)
      })
    },
  )
  add('O_PATH of a symlink reads the link', 'open(2): O_PATH | O_NOFOLLOW; readlink(2): an empty path', () => {
    sys.symlink('target', 'l')
    const fd = sys.open('l', O.PATH | O.NOFOLLOW)
    equal(sys.fstat(fd).type, S.IFLNK)
    equal(sys.readlinkat(fd, '').toString(), 'target')
  })
  add('a directory for writing', 'open(2): EISDIR', () => {
    sys.mkdir('d')
    fails('EISDIR', () => sys.open('d', O.WRONLY))
    fails('EISDIR', () => sys.open('d', O.RDWR))
    fails('EISDIR', () => sys.open('d', O.CREAT | O.RDONLY))
    fails('EISDIR', () => sys.open('d', O.RDONLY | O.TRUNC))
  })
  add('a trailing slash', 'POSIX pathname resolution: ENOTDIR of a file, EISDIR of a name to be made', () => {
    file('f')
    fails('ENOTDIR', () => sys.open('f/'))
    fails('EISDIR', () => sys.open('new/', O.CREAT | O.WRONLY))
    equal(list(), ['f'])
  })
  add('a missing name', 'open(2): ENOENT', () => {
    fails('ENOENT', () => sys.open('missing'))
    fails('ENOENT', () => sys.open(''))
    fails('ENOENT', () => sys.open('missing/f', O.CREAT | O.WRONLY))
  })
  add('reading what is open for writing alone', 'read(2): EBADF', () => {
    file('f', 'x')
    fails('EBADF', () => sys.read(sys.open('f', O.WRONLY), 1))
  })
  add('writing what is open for reading alone', 'write(2): EBADF', () => {
    file('f', 'x')
    fails('EBADF', () => sys.write(sys.open('f'), 'y'))
    equal(text('f'), 'x')
  })
  add('F_GETFL tells how it was opened', 'fcntl(2): F_GETFL', () => {
    file('f')
    const flags = sys.fcntl(sys.open('f', O.RDWR | O.APPEND | O.NONBLOCK), 3)
    equal(flags & (O.ACCMODE | O.APPEND | O.NONBLOCK), O.RDWR | O.APPEND | O.NONBLOCK)
  })
  add('two opens have two offsets, a duplicate has the same', 'POSIX dup: the same open file description', () => {
    file('f', 'abcdef')
    const first = sys.open('f')
    const second = sys.open('f')
    const duplicate = sys.dup(first)
    equal(sys.read(first, 2).toString(), 'ab')
    equal(sys.read(second, 2).toString(), 'ab')
    equal(sys.read(duplicate, 2).toString(), 'cd')
    equal(sys.lseek(first, 0, SEEK.CUR), 4)
  })
  add('openat starts in the directory', 'openat(2): relative to the directory of the descriptor', () => {
    sys.mkdir('d')
    const fd = sys.open('d', O.DIRECTORY)
    sys.close(sys.openat(fd, 'f', O.CREAT | O.WRONLY))
    equal(list('d'), ['f'])
  })
  add('openat below a file', 'openat(2): ENOTDIR', () => {
    file('f')
    const fd = sys.open('f')
    fails('ENOTDIR', () => sys.openat(fd, 'x'))
  })
  add(
    'nothing is made in a removed directory',
    'open(2): ENOENT: pathname refers to a directory that was removed',
    () => {
      sys.mkdir('d')
      const fd = sys.open('d', O.DIRECTORY)
      sys.rmdir('d')
      fails('ENOENT', () => sys.openat(fd, 'f', O.CREAT | O.WRONLY))
    },
  )
  add('O_NOATIME is the owner’s', 'open(2): O_NOATIME: EPERM', () => {
    file('f', 'x', 0o666)
    fails('EPERM', () => as(alice, () => sys.open('f', O.NOATIME)))
    sys.open('f', O.NOATIME)
  })
  add('/proc/self/fd opens the file again, also without a name', 'proc(5): /proc/pid/fd: a magic link', () => {
    const fd = fresh('f', 'still here')
    sys.unlink('f')
    const again = sys.open(`/proc/self/fd/${fd}`, O.RDWR)
    equal(whole(again).toString(), 'still here')
    sys.pwrite(again, 'STILL', 0)
    equal(whole(fd).toString(), 'STILL here')
  })
  add('an open file is readable after its permission went', 'POSIX open: permission is checked at open', () => {
    file('f', 'secret', 0o644)
    as(alice, () => {
      const fd = sys.open('f')
      equal(sys.pread(fd, 6, 0).toString(), 'secret')
    })
    const fd = as(alice, () => sys.open('f'))
    sys.chmod('f', 0)
    as(alice, () => {
      equal(sys.pread(fd, 6, 0).toString(), 'secret')
      fails('EACCES', () => sys.open('f'))
    })
  })
  add(
    'a program that runs is not opened for writing',
    'open(2), truncate(2): ETXTBSY',
    async ({ directory }) => {
      copyProgram('/bin/sleep', `${directory}/program`)
      const child = spawn(`${directory}/program`, ['9'], { stdio: 'ignore' })
      await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject))
      try {
        fails('ETXTBSY', () => sys.open('program', O.WRONLY))
        fails('ETXTBSY', () => sys.truncate('program', 0))
        ok(content('program').length > 1000, 'it is whole')
      } finally {
        child.kill('SIGKILL')
        await new Promise(resolve => child.once('exit', resolve))
      }
    },
    { needs: ['programs'] },
  )
  add(
    'O_EXCL between two processes: one wins each name',
    'POSIX open: the check and the creation are atomic',
    async ({ actor }) => {
      const names = Array.from({ length: 60 }, (_, i) => `race-${i}`)
      const [first, second] = await Promise.all([actor(0), actor(1)])
      const won = await Promise.all([first.do('createExclusively', names), second.do('createExclusively', names)])
      equal(won.flat().sort(), names.sort())
    },
  )
})
