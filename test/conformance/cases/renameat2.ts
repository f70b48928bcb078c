import { cases } from '../case.js'
import { equal, fails, ok } from '../kit/check.js'
import { exists, file, list, text } from '../kit/files.js'
import { RENAME, S } from '../kit/flags.js'
import { sys } from '../kit/sys.js'
import { tick } from '../kit/time.js'

const { NOREPLACE, EXCHANGE, WHITEOUT } = RENAME

export const renameat2 = cases('renameat2', add => {
  add('NOREPLACE to a free name', 'rename(2): RENAME_NOREPLACE', () => {
    file('a', 'x')
    sys.renameat2('a', 'b', NOREPLACE)
    equal(list(), ['b'])
    equal(text('b'), 'x')
  })
  for (const [what, make] of [
    ['a file', () => file('b', 'kept')],
    ['an empty directory', () => sys.mkdir('b')],
    ['a dangling symlink', () => sys.symlink('nowhere', 'b')],
    ['another link of the same file', () => sys.link('a', 'b')],
  ] as const) {
    add(`NOREPLACE keeps ${what}`, 'rename(2): RENAME_NOREPLACE: EEXIST', () => {
      file('a', 'x')
      make()
      const { ino } = sys.lstat('b')
      fails('EEXIST', () => sys.renameat2('a', 'b', NOREPLACE))
      equal(sys.lstat('b').ino, ino)
      ok(exists('a'), 'the source stays')
    })
  }
  add('NOREPLACE to the own name', 'rename(2): RENAME_NOREPLACE: EEXIST: newpath exists', () => {
    file('a')
    fails('EEXIST', () => sys.renameat2('a', 'a', NOREPLACE))
  })
  add('NOREPLACE after the target was removed', 'rename(2): RENAME_NOREPLACE', () => {
    file('a', 'x')
    file('b')
    fails('EEXIST', () => sys.renameat2('a', 'b', NOREPLACE))
    sys.unlink('b')
    sys.renameat2('a', 'b', NOREPLACE)
    equal(text('b'), 'x')
  })
  add('EXCHANGE of two files', 'rename(2): RENAME_EXCHANGE', () => {
    file('a', 'one')
    file('b', 'two')
    const inodes = [sys.stat('a').ino, sys.stat('b').ino]
    sys.renameat2('a', 'b', EXCHANGE)
    equal([sys.stat('b').ino, sys.stat('a').ino], inodes)
    equal([text('a'), text('b')], ['two', 'one'])
  })
  add('EXCHANGE of a file and a directory', 'rename(2): RENAME_EXCHANGE: both may be of different types', () => {
    file('a', 'x')
    sys.mkdir('b')
    file('b/inside', 'y')
    sys.renameat2('a', 'b', EXCHANGE)
    equal(text('b'), 'x')
    equal(text('a/inside'), 'y')
  })
  add(
    'EXCHANGE of directories that are not empty',
    'rename(2): RENAME_EXCHANGE: e.g. one a non-empty directory',
    () => {
      sys.mkdir('a')
      sys.mkdir('b')
      file('a/in-a')
      file('b/in-b')
      sys.renameat2('a', 'b', EXCHANGE)
      equal([list('a'), list('b')], [['in-b'], ['in-a']])
    },
  )
  add(
    'EXCHANGE across directories moves link counts',
    'stat(3type): a directory counts the dot-dot entries of its children',
    () => {
      sys.mkdir('p')
      sys.mkdir('q')
      sys.mkdir('p/d')
      file('q/f')
      equal([sys.stat('p').nlink, sys.stat('q').nlink], [3, 2])
      sys.renameat2('p/d', 'q/f', EXCHANGE)
      equal([sys.stat('p').nlink, sys.stat('q').nlink], [2, 3])
      equal(sys.stat('q/f/..').ino, sys.stat('q').ino)
    },
  )
  add('EXCHANGE of directories of different parents', 'rename(2): RENAME_EXCHANGE; dot-dot of both changes', () => {
    sys.mkdir('p')
    sys.mkdir('q')
    sys.mkdir('p/x')
    sys.mkdir('q/y')
    sys.renameat2('p/x', 'q/y', EXCHANGE)
    equal([sys.stat('p/x/..').ino, sys.stat('q/y/..').ino], [sys.stat('p').ino, sys.stat('q').ino])
    equal([sys.stat('p').nlink, sys.stat('q').nlink], [3, 3])
  })
  add('EXCHANGE of a symlink exchanges the link', 'rename(2): symbolic links are not followed', () => {
    file('a', 'x')
    sys.symlink('nowhere', 'l')
    sys.renameat2('l', 'a', EXCHANGE)
    equal(sys.readlink('a').toString(), 'nowhere')
    equal(text('l'), 'x')
  })
  add('EXCHANGE of two links of one file', 'rename(2): hard links to the same file: does nothing', () => {
    file('a', 'x')
    sys.link('a', 'b')
    sys.renameat2('a', 'b', EXCHANGE)
    equal(list(), ['a', 'b'])
    equal(sys.stat('a').nlink, 2)
  })
  add('EXCHANGE with a missing name', 'rename(2): RENAME_EXCHANGE: ENOENT: both must exist', () => {
    file('a')
    fails('ENOENT', () => sys.renameat2('a', 'missing', EXCHANGE))
    fails('ENOENT', () => sys.renameat2('missing', 'a', EXCHANGE))
    equal(list(), ['a'])
  })
  add('EXCHANGE with its own descendant', 'rename(2): EINVAL: a subdirectory of itself', () => {
    sys.mkdir('a')
    sys.mkdir('a/b')
    fails('EINVAL', () => sys.renameat2('a', 'a/b', EXCHANGE))
    fails('EINVAL', () => sys.renameat2('a/b', 'a', EXCHANGE))
  })
  add('EXCHANGE marks both files', 'rename of ext4: ctime of each file whose name changed', () => {
    file('a')
    file('b')
    const before = [sys.stat('a').ctime, sys.stat('b').ctime] as const
    tick()
    sys.renameat2('a', 'b', EXCHANGE)
    ok(sys.stat('b').ctime > before[0], 'ctime of the first is newer')
    ok(sys.stat('a').ctime > before[1], 'ctime of the second is newer')
  })
  add('EXCHANGE twice is as before', 'rename(2): RENAME_EXCHANGE: atomic', () => {
    file('a', 'one')
    sys.mkdir('b')
    for (let i = 0; i < 2; i++) sys.renameat2('a', 'b', EXCHANGE)
    equal([text('a'), sys.stat('b').type], ['one', S.IFDIR])
  })
  add('flags that contradict each other', 'rename(2): EINVAL: NOREPLACE with EXCHANGE, WHITEOUT with EXCHANGE', () => {
    file('a')
    file('b')
    fails('EINVAL', () => sys.renameat2('a', 'b', NOREPLACE | EXCHANGE))
    fails('EINVAL', () => sys.renameat2('a', 'b', WHITEOUT | EXCHANGE))
  })
  add('an unknown flag', 'rename(2): EINVAL: an invalid flag was specified', () => {
    file('a')
    fails('EINVAL', () => sys.renameat2('a', 'b', 0x80))
    equal(list(), ['a'])
  })
  add(
    'WHITEOUT leaves a device 0:0 in the place of the source',
    'rename(2): RENAME_WHITEOUT: a character device with number 0/0',
    () => {
      file('a', 'x')
      sys.renameat2('a', 'b', WHITEOUT)
      equal(text('b'), 'x')
      const { type, rdev } = sys.lstat('a')
      equal([type, rdev], [S.IFCHR, '0:0'])
    },
    { needs: ['root'] },
  )
})
