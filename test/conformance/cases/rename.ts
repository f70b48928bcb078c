import { cases } from '../case.js'
import { equal, fails, ok } from '../kit/check.js'
import { exists, file, fresh, list, text, whole } from '../kit/files.js'
import { O, S } from '../kit/flags.js'
import { alice, as } from '../kit/identity.js'
import { sys } from '../kit/sys.js'
import { marks, tick } from '../kit/time.js'

export const rename = cases('rename', add => {
  add(
    'a file has the new name and not the old',
    'POSIX rename: the old name is removed, the new one refers to the file',
    () => {
      file('a', 'data')
      sys.rename('a', 'b')
      fails('ENOENT', () => sys.lstat('a'))
      equal(text('b'), 'data')
      equal(list(), ['b'])
    },
  )
  add('the file stays the same file', 'rename(2): only the name changes', () => {
    file('a', 'data', 0o640)
    const { ino, perm, size, mtime, nlink } = sys.stat('a')
    sys.rename('a', 'b')
    const after = sys.stat('b')
    equal(
      { ino, perm, size, mtime, nlink },
      { ino: after.ino, perm: after.perm, size: after.size, mtime: after.mtime, nlink: after.nlink },
    )
  })
  add('an existing file is replaced', 'POSIX rename: new is removed and old renamed', () => {
    file('a', 'new')
    file('b', 'old content')
    const { ino } = sys.stat('a')
    sys.rename('a', 'b')
    equal(text('b'), 'new')
    equal(sys.stat('b').ino, ino)
    equal(list(), ['b'])
  })
  add(
    'a replaced file that is open keeps its content',
    'rename(2): open descriptors for newpath are unaffected',
    () => {
      const fd = fresh('b', 'old content')
      file('a', 'new')
      sys.rename('a', 'b')
      equal(whole(fd).toString(), 'old content')
      equal(sys.fstat(fd).nlink, 0, 'links')
      sys.pwrite(fd, 'OLD', 0)
      equal(whole(fd).toString(), 'OLD content')
      equal(text('b'), 'new')
    },
  )
  add('a replaced file loses one link of several', 'POSIX rename: the link named new is removed', () => {
    file('b', 'two names')
    sys.link('b', 'other')
    file('a')
    sys.rename('a', 'b')
    equal(sys.stat('other').nlink, 1)
    equal(text('other'), 'two names')
  })
  add(
    'an open file is readable and writable under the new name',
    'rename(2): open descriptors for oldpath are unaffected',
    () => {
      const fd = fresh('a', 'one')
      sys.rename('a', 'b')
      sys.pwrite(fd, 'two', 3)
      equal(text('b'), 'onetwo')
    },
  )
  add(
    'to its own name changes nothing',
    'POSIX rename: the same existing file: returns successfully, no other action',
    () => {
      file('a', 'x')
      sys.rename('a', 'a')
      equal(text('a'), 'x')
    },
  )
  add('two links of one file both stay', 'rename(2): hard links to the same file: does nothing', () => {
    file('a', 'x')
    sys.link('a', 'b')
    sys.rename('a', 'b')
    equal(list(), ['a', 'b'])
    equal(sys.stat('a').nlink, 2)
  })
  add('a missing source', 'rename(2): ENOENT', () => {
    fails('ENOENT', () => sys.rename('missing', 'b'))
    equal(list(), [])
  })
  add('a missing source leaves the target', 'rename(2): on failure newpath is left in place', () => {
    file('b', 'kept')
    fails('ENOENT', () => sys.rename('missing', 'b'))
    equal(text('b'), 'kept')
  })
  add('a missing target directory', 'rename(2): ENOENT', () => {
    file('a')
    fails('ENOENT', () => sys.rename('a', 'missing/b'))
    equal(list(), ['a'])
  })
  add('an empty path', 'POSIX rename: ENOENT for an empty string', () => {
    file('a')
    fails('ENOENT', () => sys.rename('a', ''))
    fails('ENOENT', () => sys.rename('', 'b'))
  })
  add(
    'an empty directory is replaced by a directory',
    'rename(2): newpath must not exist or be an empty directory',
    () => {
      sys.mkdir('a')
      file('a/inside')
      sys.mkdir('b')
      const { ino } = sys.stat('a')
      sys.rename('a', 'b')
      equal(sys.stat('b').ino, ino)
      equal(list('b'), ['inside'])
    },
  )
  add('a directory that is not empty is not replaced', 'rename(2): ENOTEMPTY or EEXIST', () => {
    sys.mkdir('a')
    sys.mkdir('b')
    file('b/inside')
    fails(['ENOTEMPTY', 'EEXIST'], () => sys.rename('a', 'b'))
    equal(list(), ['a', 'b'])
    equal(list('b'), ['inside'])
  })
  add(
    'a replaced directory that is open is an empty, removed one',
    'POSIX rmdir: the directory persists until its last close',
    () => {
      sys.mkdir('a')
      sys.mkdir('b')
      const fd = sys.open('b', O.DIRECTORY)
      sys.rename('a', 'b')
      equal(sys.fstat(fd).nlink, 0, 'links')
      fails('ENOENT', () => sys.openat(fd, 'x', O.CREAT | O.WRONLY))
    },
  )
  add('a directory does not replace a file', 'rename(2): ENOTDIR', () => {
    sys.mkdir('a')
    file('b', 'x')
    fails('ENOTDIR', () => sys.rename('a', 'b'))
    equal(text('b'), 'x')
    ok(exists('a'), 'the directory stays')
  })
  add('a file does not replace a directory', 'rename(2): EISDIR', () => {
    file('a', 'x')
    sys.mkdir('b')
    fails('EISDIR', () => sys.rename('a', 'b'))
    equal(list(), ['a', 'b'])
  })
  add(
    'a symlink to a directory is a file as a target',
    'POSIX rename: a final symbolic link of new is not followed',
    () => {
      sys.mkdir('d')
      sys.symlink('d', 'l')
      file('a', 'x')
      sys.rename('a', 'l')
      equal(sys.lstat('l').type, S.IFREG)
      equal(list('d'), [])
    },
  )
  add('a directory does not replace a symlink to a directory', 'rename(2): ENOTDIR: the link is not followed', () => {
    sys.mkdir('a')
    sys.mkdir('d')
    sys.symlink('d', 'l')
    fails('ENOTDIR', () => sys.rename('a', 'l'))
  })
  add('a symlink itself is renamed', 'rename(2): if oldpath is a symbolic link, the link is renamed', () => {
    file('target', 'x')
    sys.symlink('target', 'a')
    sys.rename('a', 'b')
    equal(sys.readlink('b').toString(), 'target')
    equal(list(), ['b', 'target'])
  })
  add('a replaced symlink leaves its target', 'rename(2): if newpath is a symbolic link, it is overwritten', () => {
    file('target', 'kept')
    sys.symlink('target', 'b')
    file('a', 'x')
    sys.rename('a', 'b')
    equal(text('target'), 'kept')
    equal(text('b'), 'x')
  })
  add('a directory does not go into itself', 'rename(2): EINVAL: new contains a path prefix of old', () => {
    sys.mkdir('a')
    fails('EINVAL', () => sys.rename('a', 'a/b'))
  })
  add(
    'a directory does not go below its own descendant',
    'rename(2): EINVAL: make a directory a subdirectory of itself',
    () => {
      sys.mkdir('a')
      sys.mkdir('a/b')
      sys.mkdir('a/b/c')
      fails('EINVAL', () => sys.rename('a', 'a/b/c/d'))
      equal(list('a/b'), ['c'])
    },
  )
  add('a directory does not replace its own ancestor', 'rename(2): ENOTEMPTY: the ancestor holds it', () => {
    sys.mkdir('a')
    sys.mkdir('a/b')
    sys.mkdir('a/b/c')
    fails('ENOTEMPTY', () => sys.rename('a/b/c', 'a'))
  })
  add('dot and dot-dot cannot be renamed', 'rename(2): EBUSY; POSIX: EINVAL for a last component dot', () => {
    sys.mkdir('a')
    fails(['EBUSY', 'EINVAL'], () => sys.rename('a/.', 'b'))
    fails(['EBUSY', 'EINVAL'], () => sys.rename('a/..', 'b'))
    fails(['EBUSY', 'EINVAL', 'ENOTEMPTY', 'EEXIST'], () => sys.rename('a', 'a/..'))
  })
  add(
    'a file with a trailing slash',
    'POSIX pathname resolution: a trailing slash asks for a directory: ENOTDIR',
    () => {
      file('a')
      fails('ENOTDIR', () => sys.rename('a/', 'b'))
      fails('ENOTDIR', () => sys.rename('a', 'b/'))
      equal(list(), ['a'])
    },
  )
  add(
    'a directory with trailing slashes',
    'POSIX pathname resolution: trailing slashes of a directory are ignored',
    () => {
      sys.mkdir('a')
      sys.rename('a/', 'b//')
      equal(list(), ['b'])
    },
  )
  add(
    'a directory moves with all that is in it',
    'POSIX rename: the directory entry changes, not the directory',
    () => {
      sys.mkdir('a')
      sys.mkdir('a/b')
      file('a/b/c', 'deep')
      sys.mkdir('to')
      sys.rename('a', 'to/moved')
      equal(text('to/moved/b/c'), 'deep')
      equal(list(), ['to'])
    },
  )
  add('dot-dot of a moved directory is the new parent', 'rename(2): a directory moves between parents', () => {
    sys.mkdir('from')
    sys.mkdir('to')
    sys.mkdir('from/d')
    file('to/mark', 'here')
    sys.rename('from/d', 'to/d')
    equal(sys.stat('to/d/..').ino, sys.stat('to').ino)
    equal(text('to/d/../mark'), 'here')
  })
  add(
    'link counts follow a moved directory',
    'stat(3type): a directory counts the dot-dot entries of its children',
    () => {
      sys.mkdir('from')
      sys.mkdir('to')
      sys.mkdir('from/d')
      const links = (): number[] => ['from', 'to', 'from/d', 'to/d'].filter(exists).map(name => sys.stat(name).nlink)
      equal(links(), [3, 2, 2])
      sys.rename('from/d', 'to/d')
      equal(links(), [2, 3, 2])
    },
  )
  add('the link count falls when a directory replaces another', 'stat(3type): links of the parent', () => {
    sys.mkdir('p')
    sys.mkdir('p/a')
    sys.mkdir('p/b')
    sys.rename('p/a', 'p/b')
    equal(sys.stat('p').nlink, 3)
  })
  add(
    'the working directory follows its rename',
    'getcwd(3): the path of the current working directory',
    ({ directory }) => {
      sys.mkdir('a')
      sys.chdir('a')
      sys.rename('../a', '../b')
      equal(sys.getcwd(), `${directory}/b`)
      file('inside', 'x')
      sys.chdir('..')
      equal(text('b/inside'), 'x')
    },
  )
  add(
    'a directory that is open is renamed under the descriptor',
    'openat(2): relative to the directory, whatever its name',
    () => {
      sys.mkdir('a')
      file('a/x')
      const fd = sys.open('a', O.DIRECTORY)
      sys.rename('a', 'b')
      sys.close(sys.openat(fd, 'y', O.CREAT | O.WRONLY))
      equal(list('b'), ['x', 'y'])
      fails('ENOENT', () => sys.stat('a/x'))
    },
  )
  for (const [what, type] of [
    ['a fifo', S.IFIFO],
    ['a socket', S.IFSOCK],
  ] as const) {
    add(`${what} is renamed as any file`, 'POSIX rename: files of all types', () => {
      sys.mknod('a', type | 0o600)
      const { ino } = sys.lstat('a')
      file('b')
      sys.rename('a', 'b')
      equal([sys.lstat('b').type, sys.lstat('b').ino], [type, ino])
      equal(list(), ['b'])
    })
  }
  add('both directories are marked', 'POSIX rename: mtime and ctime of the parent directory of each file', () => {
    sys.mkdir('from')
    sys.mkdir('to')
    file('from/a')
    equal(
      marks('from', () =>
        equal(
          marks('to', () => sys.rename('from/a', 'to/a')),
          'mtime ctime',
          'to',
        ),
      ),
      'mtime ctime',
      'from',
    )
  })
  add(
    'the renamed file has a new status change time',
    'rename of ext4, xfs, tmpfs: ctime of the file; POSIX allows it',
    () => {
      file('a')
      const before = sys.stat('a').ctime
      tick()
      sys.rename('a', 'b')
      ok(sys.stat('b').ctime > before, 'ctime is newer')
    },
  )
  add(
    'the replaced file has a new status change time',
    'POSIX unlink: ctime of a file whose link count is not 0',
    () => {
      file('a')
      file('b')
      sys.link('b', 'kept')
      equal(
        marks('kept', () => sys.rename('a', 'b')),
        'ctime',
      )
    },
  )
  add('a chain of renames', 'POSIX rename', () => {
    file('n0', 'x')
    for (let i = 0; i < 50; i++) sys.rename(`n${i}`, `n${i + 1}`)
    equal(list(), ['n50'])
    equal(text('n50'), 'x')
  })
  add('three names rotate', 'POSIX rename: what a name meant before is forgotten', () => {
    for (const name of ['a', 'b', 'c']) file(name, name)
    for (let i = 0; i < 4; i++) {
      sys.rename('a', 't')
      sys.rename('b', 'a')
      sys.rename('c', 'b')
      sys.rename('t', 'c')
      equal(['a', 'b', 'c'].map(text).join(''), ['bca', 'cab', 'abc', 'bca'][i], `round ${i}`)
    }
  })
  add('a looked-up missing name appears', 'POSIX rename: the new name exists at once', () => {
    fails('ENOENT', () => sys.stat('b'))
    file('a', 'x')
    sys.rename('a', 'b')
    equal(sys.stat('b').size, 1)
    file('a', 'again')
    equal(text('a'), 'again')
  })
  add('another file system', 'rename(2): EXDEV', () => {
    file('a')
    fails('EXDEV', () => sys.rename('a', '/proc/a'))
    fails('EXDEV', () => sys.rename('/proc/self/status', 'b'))
  })
  add('the parent of the source is not writable', 'rename(2): EACCES', () => {
    sys.mkdir('d')
    file('d/a')
    fails('EACCES', () => as(alice, () => sys.rename('d/a', 'b')))
  })
  add('the parent of the target is not writable', 'rename(2): EACCES', () => {
    sys.mkdir('d')
    as(alice, () => {
      file('a')
      fails('EACCES', () => sys.rename('a', 'd/a'))
    })
    equal(list('d'), [])
  })
  add(
    'a directory that is not writable does not change its parent',
    'rename(2): EACCES: its dot-dot must be updated',
    () => {
      sys.mkdir('to', 0o777)
      sys.mkdir('d')
      fails('EACCES', () => as(alice, () => sys.rename('d', 'to/d')))
      as(alice, () => sys.rename('d', 'e'))
      equal(list(), ['e', 'to'])
    },
  )
})
