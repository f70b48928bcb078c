import { cases } from '../case.js'
import { equal } from '../kit/check.js'
import { file, pattern } from '../kit/files.js'
import { O } from '../kit/flags.js'
import { alice, as, staff } from '../kit/identity.js'
import { copyProgram, runProgram } from '../kit/program.js'
import { sys } from '../kit/sys.js'

const root = { needs: ['root'] as const }

export const setId = cases(
  'set-id',
  add => {
    /** A file of alice's with these bits. */
    const make = (perm: number, content = 'content'): void => {
      file('f', content)
      sys.chown('f', alice.uid, alice.gid)
      sys.chmod('f', perm)
    }
    const perm = (path = 'f'): number => sys.stat(path).perm

    for (const [what, change] of [
      ['write', () => sys.write(sys.open('f', O.WRONLY), 'x')],
      ['pwrite', () => sys.pwrite(sys.open('f', O.WRONLY), 'x', 3)],
      ['an appending write', () => sys.write(sys.open('f', O.WRONLY | O.APPEND), 'x')],
      ['truncate', () => sys.truncate('f', 3)],
      ['ftruncate', () => sys.ftruncate(sys.open('f', O.WRONLY), 100)],
      ['open with O_TRUNC', () => sys.open('f', O.WRONLY | O.TRUNC)],
      ['fallocate', () => sys.fallocate(sys.open('f', O.WRONLY), 0, 0, 8192)],
    ] as const) {
      add(
        `${what} by an unprivileged user clears set-uid and set-gid`,
        'POSIX write, ftruncate: S_ISUID and S_ISGID may be cleared; Linux file_remove_privs',
        () => {
          make(0o6755)
          as(alice, change)
          equal(perm(), 0o755)
        },
      )
    }
    add('copy_file_range by an unprivileged user clears them', 'Linux file_remove_privs', () => {
      make(0o6755)
      file('from', pattern(5000), 0o644)
      as(alice, () => sys.copyFileRange(sys.open('from'), 0, sys.open('f', O.WRONLY), 0, 5000))
      equal(perm(), 0o755)
    })
    add('a large write clears them', 'Linux file_remove_privs', () => {
      make(0o6775)
      as(alice, () => sys.write(sys.open('f', O.WRONLY), pattern(300_000)))
      equal(perm(), 0o775)
    })
    add('a write of nothing clears nothing', 'POSIX write: nbyte 0: no other results', () => {
      make(0o6755)
      as(alice, () => sys.write(sys.open('f', O.WRONLY), ''))
      equal(perm(), 0o6755)
    })
    add(
      'a privileged write keeps them',
      'capabilities(7): CAP_FSETID',
      () => {
        make(0o6755)
        sys.write(sys.open('f', O.WRONLY), 'x')
        equal(perm(), 0o6755)
      },
      root,
    )
    add(
      'a privileged truncate keeps them',
      'capabilities(7): CAP_FSETID',
      () => {
        make(0o6755)
        sys.truncate('f', 1)
        equal(perm(), 0o6755)
      },
      root,
    )
    add('reading keeps them', 'POSIX read', () => {
      make(0o6755)
      as(alice, () => sys.pread(sys.open('f'), 10, 0))
      equal(perm(), 0o6755)
    })
    add('set-gid without group execution is kept for a member', 'Linux setattr_should_drop_sgid', () => {
      make(0o2644)
      as(alice, () => sys.write(sys.open('f', O.WRONLY), 'x'))
      equal(perm(), 0o2644)
    })
    add('chown by the owner clears both', 'chown(2): S_ISUID and S_ISGID are cleared of an executable file', () => {
      make(0o6755)
      as({ ...alice, groups: [staff] }, () => sys.chown('f', -1, staff))
      equal(perm(), 0o755)
    })
    add(
      'chown by root clears both',
      'chown(2): on Linux for root, too',
      () => {
        make(0o6755)
        sys.chown('f', 1, 1)
        equal(perm(), 0o755)
      },
      root,
    )
    add(
      'chown keeps set-gid of a file that no group executes',
      'chown(2): S_ISGID without S_IXGRP is not cleared',
      () => {
        make(0o6644)
        sys.chown('f', 1, 1)
        equal(perm(), 0o2644)
      },
      root,
    )
    add(
      'chown keeps the bits of a directory',
      'Linux chown_common: not for directories',
      () => {
        sys.mkdir('d')
        sys.chmod('d', 0o6755)
        sys.chown('d', 1, 1)
        equal(perm('d'), 0o6755)
      },
      root,
    )
    add(
      'chmod and link keep them',
      'POSIX chmod',
      () => {
        make(0o4711)
        sys.link('f', 'g')
        sys.rename('f', 'h')
        equal([perm('g'), perm('h')], [0o4711, 0o4711])
      },
      root,
    )
    add(
      'a set-uid program runs as its owner',
      'execve(2): the effective user ID becomes that of the owner',
      ({ directory }) => {
        copyProgram('/usr/bin/id', `${directory}/id`)
        sys.chown('id', 61234, 0)
        sys.chmod('id', 0o4755)
        const { stdout } = runProgram('./id', ['-u'], alice)
        equal(stdout.trim(), '61234')
      },
      { needs: ['set-uid programs'] },
    )
    add(
      'a set-gid program runs in its group',
      'execve(2): the effective group ID becomes that of the file',
      ({ directory }) => {
        copyProgram('/usr/bin/id', `${directory}/id`)
        sys.chown('id', 0, staff)
        sys.chmod('id', 0o2755)
        const { stdout } = runProgram('./id', ['-g'], alice)
        equal(stdout.trim(), `${staff}`)
      },
      { needs: ['set-uid programs'] },
    )
  },
  { needs: ['root'] },
)

export const setGidDirectory = cases(
  'set-gid-directory',
  add => {
    const shared = (perm = 0o2777): void => {
      sys.mkdir('d')
      sys.chown('d', 0, staff)
      sys.chmod('d', perm)
    }
    add('a new file has the group of the directory', 'POSIX open: the group ID of the parent directory', () => {
      shared()
      as(alice, () => file('d/f'))
      equal([sys.stat('d/f').uid, sys.stat('d/f').gid], [alice.uid, staff])
      equal(sys.stat('d/f').perm, 0o644)
    })
    add('a new directory has the group and the bit', 'mkdir(2): inherits the set-group-ID mode bit', () => {
      shared()
      as(alice, () => sys.mkdir('d/e', 0o755))
      equal([sys.stat('d/e').gid, sys.stat('d/e').perm], [staff, 0o2755])
    })
    add('nodes and symlinks have the group', 'mknod(2), symlink(7)', () => {
      shared()
      as(alice, () => {
        sys.mknod('d/p', 0o010600)
        sys.symlink('x', 'd/l')
      })
      equal([sys.lstat('d/p').gid, sys.lstat('d/l').gid], [staff, staff])
    })
    add('a link and a moved file keep theirs', 'POSIX link, rename: one file', () => {
      shared()
      as(alice, () => {
        file('f')
        file('g')
        sys.link('f', 'd/f')
        sys.rename('g', 'd/g')
      })
      equal([sys.stat('d/f').gid, sys.stat('d/g').gid], [alice.gid, alice.gid])
    })
    add('a stranger makes no set-gid program of the group', 'Linux mode_strip_sgid: not a member of the group', () => {
      shared()
      as(alice, () => sys.open('d/f', O.CREAT | O.WRONLY, 0o2755))
      equal(sys.stat('d/f').perm, 0o755)
    })
    add('a member does', 'Linux mode_strip_sgid: a member of the group', () => {
      shared()
      as({ ...alice, groups: [staff] }, () => sys.open('d/f', O.CREAT | O.WRONLY, 0o2755))
      equal(sys.stat('d/f').perm, 0o2755)
    })
    add('the bit goes down a tree', 'mkdir(2)', () => {
      shared()
      as(alice, () => {
        sys.mkdir('d/a')
        sys.mkdir('d/a/b')
        file('d/a/b/f')
      })
      equal([sys.stat('d/a/b').perm, sys.stat('d/a/b/f').gid], [0o2755, staff])
    })
    add('without the bit the group is that of the process', 'open(2): the filesystem GID of the process', () => {
      shared(0o777)
      as(alice, () => file('d/f'))
      equal(sys.stat('d/f').gid, alice.gid)
    })
  },
  { needs: ['root'] },
)
