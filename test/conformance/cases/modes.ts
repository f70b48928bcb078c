import { cases } from '../case.js'
import { equal, fails } from '../kit/check.js'
import { file, fresh, text } from '../kit/files.js'
import { AT, O, S } from '../kit/flags.js'
import { alice, as, bob, staff } from '../kit/identity.js'
import { sys } from '../kit/sys.js'
import { marks } from '../kit/time.js'

export const chmod = cases('chmod', add => {
  add('each of the twelve bits', 'POSIX chmod: set-uid, set-gid, sticky, permission bits', () => {
    file('f')
    for (let bit = 1; bit <= 0o4000; bit <<= 1) {
      sys.chmod('f', bit)
      equal(sys.stat('f').perm, bit)
    }
    sys.chmod('f', 0o7777)
    equal(sys.stat('f').perm, 0o7777)
    sys.chmod('f', 0)
    equal(sys.stat('f').perm, 0)
  })
  add('a directory', 'POSIX chmod', () => {
    sys.mkdir('d')
    for (const mode of [0o7777, 0o1777, 0o2755, 0o700]) {
      sys.chmod('d', mode)
      equal([sys.stat('d').perm, sys.stat('d').type], [mode, S.IFDIR])
    }
  })
  add('an open file', 'fchmod(2)', () => {
    const fd = fresh('f')
    sys.fchmod(fd, 0o604)
    equal([sys.stat('f').perm, sys.fstat(fd).perm], [0o604, 0o604])
  })
  add('an open directory', 'fchmod(2)', () => {
    sys.mkdir('d')
    sys.fchmod(sys.open('d', O.DIRECTORY), 0o711)
    equal(sys.stat('d').perm, 0o711)
  })
  for (const [what, type] of [
    ['a fifo', S.IFIFO],
    ['a socket', S.IFSOCK],
  ] as const) {
    add(what, 'POSIX chmod: files of all types', () => {
      sys.mknod('n', type | 0o600)
      sys.chmod('n', 0o642)
      equal([sys.lstat('n').perm, sys.lstat('n').type], [0o642, type])
    })
  }
  add('the status change time is marked', 'POSIX chmod: ctime', () => {
    file('f')
    equal(
      marks('f', () => sys.chmod('f', 0o600)),
      'ctime',
    )
  })
  add('the umask plays no part', 'umask(2): for new files alone', () => {
    file('f')
    process.umask(0o777)
    sys.chmod('f', 0o666)
    equal(sys.stat('f').perm, 0o666)
  })
  add('the owner may', 'POSIX chmod: the effective user ID matches the owner', () => {
    as(alice, () => {
      file('f')
      sys.chmod('f', 0o400)
      sys.chmod('f', 0o600)
    })
    equal(sys.stat('f').perm, 0o600)
  })
  add('another may not', 'chmod(2): EPERM', () => {
    as(alice, () => file('f', '', 0o666))
    fails('EPERM', () => as(bob, () => sys.chmod('f', 0o600)))
    fails('EPERM', () => as({ ...bob, groups: [alice.gid] }, () => sys.chmod('f', 0o600)))
    equal(sys.stat('f').perm, 0o666)
  })
  add('a descriptor gives no right to change the mode', 'fchmod(2): EPERM', () => {
    file('f', '', 0o666)
    fails('EPERM', () => as(alice, () => sys.fchmod(sys.open('f', O.RDWR), 0o600)))
  })
  add(
    'set-gid for a foreign group is dropped in silence',
    'POSIX chmod: S_ISGID is cleared if the group does not match',
    () => {
      file('f')
      sys.chown('f', alice.uid, staff)
      as(alice, () => sys.chmod('f', 0o2755))
      equal(sys.stat('f').perm, 0o755)
      as({ ...alice, groups: [staff] }, () => sys.chmod('f', 0o2755))
      equal(sys.stat('f').perm, 0o2755)
    },
    { needs: ['root'] },
  )
  add('it shows through each name', 'POSIX link: one file', () => {
    file('a')
    sys.link('a', 'b')
    sys.chmod('a', 0o611)
    equal(sys.stat('b').perm, 0o611)
  })
  add('a missing name', 'chmod(2): ENOENT', () => {
    fails('ENOENT', () => sys.chmod('missing', 0o600))
    fails('ENOENT', () => sys.chmod('', 0o600))
  })
  add('relative to a directory', 'fchmodat(2)', () => {
    sys.mkdir('d')
    file('d/f')
    sys.fchmodat(sys.open('d', O.DIRECTORY), 'f', 0o601, 0)
    equal(sys.stat('d/f').perm, 0o601)
  })
})

export const chown = cases('chown', add => {
  const owner = (path: string): [number, number] => [sys.lstat(path).uid, sys.lstat(path).gid]
  const own = (path: string): void => sys.chown(path, alice.uid, alice.gid) as unknown as void
  const root = { needs: ['root'] as const }

  add(
    'user and group',
    'POSIX chown',
    () => {
      file('f')
      sys.chown('f', 1, 2)
      equal(owner('f'), [1, 2])
    },
    root,
  )
  add(
    'minus one leaves as it is',
    'chown(2): -1: that ID is not changed',
    () => {
      file('f')
      sys.chown('f', 11, 12)
      sys.chown('f', -1, 22)
      equal(owner('f'), [11, 22])
      sys.chown('f', 21, -1)
      equal(owner('f'), [21, 22])
      sys.chown('f', -1, -1)
      equal(owner('f'), [21, 22])
    },
    root,
  )
  add(
    'the largest numbers',
    'chown(2): uid_t and gid_t have 32 bits',
    () => {
      file('f')
      sys.chown('f', 0xfffffffe, 0xfffffffe)
      equal(owner('f'), [0xfffffffe, 0xfffffffe])
      sys.chown('f', 65534, 65536)
      equal(owner('f'), [65534, 65536])
    },
    root,
  )
  add(
    'a directory, a fifo, an open file',
    'POSIX chown: files of all types',
    () => {
      sys.mkdir('d')
      sys.mknod('p', S.IFIFO | 0o600)
      const fd = fresh('f')
      sys.chown('d', 3, 4)
      sys.chown('p', 3, 4)
      sys.fchown(fd, 3, 4)
      equal(['d', 'p', 'f'].map(owner), [
        [3, 4],
        [3, 4],
        [3, 4],
      ])
    },
    root,
  )
  add(
    'AT_EMPTY_PATH changes what is open',
    'fchownat(2): AT_EMPTY_PATH',
    () => {
      file('f')
      sys.fchownat(sys.open('f', O.PATH), '', 9, 9, AT.EMPTY_PATH)
      equal(owner('f'), [9, 9])
    },
    root,
  )
  add(
    'it follows a symlink',
    'POSIX chown',
    () => {
      file('f')
      sys.symlink('f', 'l')
      sys.chown('l', 5, 5)
      equal(
        [owner('f'), owner('l')],
        [
          [5, 5],
          [0, 0],
        ],
      )
    },
    root,
  )
  add(
    'the status change time is marked',
    'POSIX chown: ctime',
    () => {
      file('f')
      equal(
        marks('f', () => sys.chown('f', 1, 1)),
        'ctime',
      )
    },
    root,
  )
  add(
    'the owner gives it to a group of his',
    'POSIX chown: the group is the effective or a supplementary one',
    () => {
      file('f')
      own('f')
      as({ ...alice, groups: [staff] }, () => sys.chown('f', -1, staff))
      equal(owner('f'), [alice.uid, staff])
      as(alice, () => sys.chown('f', alice.uid, alice.gid))
      equal(owner('f'), [alice.uid, alice.gid])
    },
    { needs: ['root'] },
  )
  add(
    'the owner does not give it to a foreign group',
    'chown(2): EPERM',
    () => {
      file('f')
      own('f')
      fails('EPERM', () => as(alice, () => sys.chown('f', -1, staff)))
      equal(owner('f'), [alice.uid, alice.gid])
    },
    { needs: ['root'] },
  )
  add(
    'the owner does not give it away',
    'chown(2): EPERM: _POSIX_CHOWN_RESTRICTED',
    () => {
      file('f')
      own('f')
      fails('EPERM', () => as(alice, () => sys.chown('f', bob.uid, -1)))
      equal(owner('f'), [alice.uid, alice.gid])
    },
    { needs: ['root'] },
  )
  add('another does not take it', 'chown(2): EPERM', () => {
    file('f', '', 0o666)
    fails('EPERM', () => as(alice, () => sys.chown('f', alice.uid, alice.gid)))
    fails('EPERM', () => as(alice, () => sys.chown('f', -1, alice.gid)))
  })
  add('rights follow the owner at once', 'POSIX file access permissions', () => {
    file('f', 'x', 0o600)
    fails('EACCES', () => as(alice, () => text('f')))
    own('f')
    equal(
      as(alice, () => text('f')),
      'x',
    )
  })
  add('a missing name', 'chown(2): ENOENT', () => {
    fails('ENOENT', () => sys.chown('missing', 0, 0))
  })
})
