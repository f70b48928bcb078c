import { cases } from '../case.js'
import { equal, fails } from '../kit/check.js'
import { entriesOf, exists, file, list } from '../kit/files.js'
import { O, S } from '../kit/flags.js'
import { alice, as } from '../kit/identity.js'
import { sys } from '../kit/sys.js'
import { isRecent, marks } from '../kit/time.js'

export const mkdir = cases('mkdir', add => {
  add('an empty directory', 'POSIX mkdir: shall be an empty directory', () => {
    sys.mkdir('d', 0o750)
    const { type, perm, nlink } = sys.stat('d')
    equal({ type, perm, nlink }, { type: S.IFDIR, perm: 0o750, nlink: 2 })
    equal(list('d'), [])
  })
  add('the umask is taken off', 'mkdir(2): mode & ~umask', () => {
    process.umask(0o027)
    sys.mkdir('d', 0o777)
    equal(sys.stat('d').perm, 0o750)
  })
  add('the sticky bit is kept, set-uid and set-gid are not taken', 'mkdir(2): mode & ~umask & 01777', () => {
    sys.mkdir('d', 0o7777)
    equal(sys.stat('d').perm, 0o1777)
  })
  for (const [what, make] of [
    ['a file', () => file('d')],
    ['a directory', () => sys.mkdir('d')],
    ['a symlink to a directory', () => sys.symlink('.', 'd')],
    ['a dangling symlink', () => sys.symlink('nowhere', 'd')],
    ['a fifo', () => sys.mknod('d', S.IFIFO | 0o600)],
  ] as const) {
    add(`${what} has the name`, 'mkdir(2): EEXIST; POSIX: symbolic links are not followed', () => {
      make()
      fails('EEXIST', () => sys.mkdir('d'))
      equal(exists('nowhere'), false)
    })
  }
  add('dot, dot-dot and the root', 'mkdir(2): EEXIST', () => {
    for (const path of ['.', '..', '/']) fails('EEXIST', () => sys.mkdir(path), path)
  })
  add('a missing parent', 'mkdir(2): ENOENT', () => {
    fails('ENOENT', () => sys.mkdir('missing/d'))
    fails('ENOENT', () => sys.mkdir(''))
  })
  add('a trailing slash', 'POSIX pathname resolution: a directory that is to be made', () => {
    sys.mkdir('d/')
    sys.mkdir('d/e//')
    equal(list('d'), ['e'])
  })
  add('dot-dot is the parent, dot the directory', 'POSIX: dot and dot-dot', () => {
    sys.mkdir('d')
    sys.mkdir('d/e')
    equal([sys.stat('d/e/.').ino, sys.stat('d/e/..').ino], [sys.stat('d/e').ino, sys.stat('d').ino])
  })
  add('the parent has one link more', 'stat(3type): dot-dot of the new directory', () => {
    sys.mkdir('p')
    for (let i = 0; i < 5; i++) sys.mkdir(`p/${i}`)
    file('p/f')
    equal(sys.stat('p').nlink, 7)
  })
  add('the parent is marked', 'POSIX mkdir: mtime and ctime of the parent directory', () => {
    sys.mkdir('p')
    equal(
      marks('p', () => sys.mkdir('p/d')),
      'mtime ctime',
    )
  })
  add('the times are now and the owner is who made it', 'POSIX mkdir', () => {
    as(alice, () => sys.mkdir('d'))
    const { uid, gid, atime, mtime, ctime } = sys.stat('d')
    isRecent(mtime, 'mtime')
    equal([uid, gid, atime, ctime], [alice.uid, alice.gid, mtime, mtime])
  })
  add('a parent that is not writable', 'mkdir(2): EACCES', () => {
    sys.mkdir('p')
    fails('EACCES', () => as(alice, () => sys.mkdir('p/d')))
  })
  add('in a removed directory', 'mkdir(2): ENOENT', () => {
    sys.mkdir('p')
    const fd = sys.open('p', O.DIRECTORY)
    sys.rmdir('p')
    fails('ENOENT', () => sys.mkdirat(fd, 'd'))
  })
  add('forty levels deep', 'path_resolution(7)', () => {
    let path = 'd'
    for (let i = 0; i < 40; i++, path += '/d') sys.mkdir(path)
    file(`${path.slice(0, -2)}/f`)
    equal(sys.stat(`${'d/'.repeat(40)}f`).type, S.IFREG)
  })
  add('two processes: one makes each', 'POSIX mkdir: EEXIST: atomic', async ({ actor }) => {
    const names = Array.from({ length: 40 }, (_, i) => `race-${i}`)
    const [first, second] = await Promise.all([actor(0), actor(1)])
    const made = await Promise.all([first.do('makeDirectories', names), second.do('makeDirectories', names)])
    equal(made.flat().sort(), names.sort())
  })
})

export const rmdir = cases('rmdir', add => {
  add('an empty directory goes', 'POSIX rmdir', () => {
    sys.mkdir('d')
    sys.rmdir('d')
    fails('ENOENT', () => sys.stat('d'))
    equal(list(), [])
  })
  for (const [what, make] of [
    ['a file', () => file('d/x')],
    ['a directory', () => sys.mkdir('d/x')],
    ['a dangling symlink', () => sys.symlink('nowhere', 'd/x')],
    ['a hidden name', () => file('d/.x')],
    ['a fifo', () => sys.mknod('d/x', S.IFIFO | 0o600)],
  ] as const) {
    add(`with ${what} in it`, 'rmdir(2): ENOTEMPTY', () => {
      sys.mkdir('d')
      make()
      fails('ENOTEMPTY', () => sys.rmdir('d'))
      equal(list('d').length, 1)
    })
  }
  add('what is no directory', 'rmdir(2): ENOTDIR', () => {
    file('f')
    sys.mkdir('d')
    sys.symlink('d', 'l')
    fails('ENOTDIR', () => sys.rmdir('f'))
    fails('ENOTDIR', () => sys.rmdir('l'))
    fails('ENOTDIR', () => sys.rmdir('l/'))
    equal(list(), ['d', 'f', 'l'])
  })
  add('a missing name', 'rmdir(2): ENOENT', () => {
    fails('ENOENT', () => sys.rmdir('missing'))
    fails('ENOENT', () => sys.rmdir(''))
  })
  add('dot and dot-dot', 'rmdir(2): EINVAL for a last component dot, ENOTEMPTY for dot-dot', () => {
    sys.mkdir('d')
    sys.mkdir('d/e')
    fails('EINVAL', () => sys.rmdir('d/e/.'))
    fails(['ENOTEMPTY', 'EEXIST'], () => sys.rmdir('d/e/..'))
  })
  add('a trailing slash', 'POSIX pathname resolution', () => {
    sys.mkdir('d')
    sys.rmdir('d/')
    equal(list(), [])
  })
  add('the root of all', 'rmdir(2): EBUSY', () => {
    fails('EBUSY', () => sys.rmdir('/'))
  })
  add('the parent is marked and has one link less', 'POSIX rmdir: mtime and ctime of the parent directory', () => {
    sys.mkdir('p')
    sys.mkdir('p/d')
    equal(
      marks('p', () => sys.rmdir('p/d')),
      'mtime ctime',
    )
    equal(sys.stat('p').nlink, 2)
  })
  add('a directory that is open', 'POSIX rmdir: dot and dot-dot go, no new entries are made', () => {
    sys.mkdir('d')
    const fd = sys.open('d', O.DIRECTORY)
    sys.rmdir('d')
    equal(sys.fstat(fd).nlink, 0)
    let names: string[] = []
    try {
      names = entriesOf(fd).map(entry => entry.name)
    } catch (error) {
      equal((error as { code?: string }).code, 'ENOENT')
    }
    equal(names, [])
  })
  add('the working directory', 'rmdir(2); getcwd(3): ENOENT: it was removed', () => {
    sys.mkdir('d')
    sys.chdir('d')
    sys.rmdir('../d')
    fails('ENOENT', () => sys.open('f', O.CREAT | O.WRONLY))
    equal(sys.stat('.').nlink, 0)
    fails('ENOENT', () => sys.getcwd())
  })
  add('the name serves again', 'POSIX rmdir, mkdir', () => {
    sys.mkdir('d')
    file('d/f')
    sys.unlink('d/f')
    sys.rmdir('d')
    sys.mkdir('d')
    equal(list('d'), [])
    sys.rmdir('d')
    file('d')
    equal(sys.stat('d').type, S.IFREG)
  })
  add('a parent that is not writable', 'rmdir(2): EACCES', () => {
    sys.mkdir('p')
    sys.mkdir('p/d', 0o777)
    fails('EACCES', () => as(alice, () => sys.rmdir('p/d')))
  })
  add('emptied by a rename', 'POSIX rename, rmdir', () => {
    sys.mkdir('d')
    file('d/f')
    fails('ENOTEMPTY', () => sys.rmdir('d'))
    sys.rename('d/f', 'f')
    sys.rmdir('d')
    equal(list(), ['f'])
  })
})
