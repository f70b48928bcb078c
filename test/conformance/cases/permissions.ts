import { cases } from '../case.js'
import { equal, fails } from '../kit/check.js'
import { file, list, text } from '../kit/files.js'
import { O, S } from '../kit/flags.js'
import { alice, as, bob, staff, type Identity } from '../kit/identity.js'
import { sys } from '../kit/sys.js'

const classes = [
  ['owner', alice, 6],
  ['group', { ...bob, gid: alice.gid }, 3],
  ['group, a supplementary one,', { ...bob, groups: [staff, alice.gid] }, 3],
  ['other', bob, 0],
] as const satisfies readonly (readonly [string, Identity, number])[]

export const permissions = cases(
  'permissions',
  add => {
    const granted = (who: Identity, call: () => unknown): boolean => {
      try {
        as(who, call)
        return true
      } catch (error) {
        if ((error as { code?: string }).code === 'EACCES') return false
        throw error
      }
    }

    for (const [name, who, shift] of classes) {
      add(`a file: the bits of the ${name} class alone decide`, 'POSIX 4.5 File access permissions', () => {
        file('f', 'x')
        sys.chown('f', alice.uid, alice.gid)
        for (let bits = 0; bits < 8; bits++) {
          // the other classes have just what this one has not: a mistaken class is seen
          const perm = (bits << shift) | (0o777 & ~(7 << shift) & (((7 - bits) * 0o111) & 0o777))
          sys.chmod('f', perm)
          equal(
            [
              granted(who, () => sys.open('f', O.RDONLY)),
              granted(who, () => sys.open('f', O.WRONLY)),
              granted(who, () => sys.open('f', O.RDWR)),
            ],
            [(bits & 4) !== 0, (bits & 2) !== 0, (bits & 6) === 6],
            `mode ${perm.toString(8)}`,
          )
        }
      })
      add(`a directory: the bits of the ${name} class alone decide`, 'POSIX 4.5 File access permissions', () => {
        sys.mkdir('d')
        file('d/f', 'x', 0o666)
        sys.chown('d', alice.uid, alice.gid)
        for (let bits = 0; bits < 8; bits++) {
          const perm = (bits << shift) | (0o777 & ~(7 << shift) & (((7 - bits) * 0o111) & 0o777))
          sys.chmod('d', perm)
          const found = [
            granted(who, () => list('d')),
            granted(who, () => text('d/f')),
            granted(who, () => {
              sys.mkdir('d/new')
              sys.rmdir('d/new')
            }),
          ]
          equal(found, [(bits & 4) !== 0, (bits & 1) !== 0, (bits & 3) === 3], `mode ${perm.toString(8)}`)
        }
      })
    }
    const changes: [string, () => unknown][] = [
      ['open with O_CREAT', () => sys.open('d/new', O.CREAT | O.WRONLY)],
      ['mkdir', () => sys.mkdir('d/new')],
      ['mknod', () => sys.mknod('d/new', S.IFIFO | 0o600)],
      ['symlink', () => sys.symlink('x', 'd/new')],
      ['link', () => sys.link('mine', 'd/new')],
      ['unlink', () => sys.unlink('d/f')],
      ['rmdir', () => sys.rmdir('d/e')],
      ['rename within', () => sys.rename('d/f', 'd/new')],
      ['rename out', () => sys.rename('d/f', 'new')],
      ['rename in', () => sys.rename('mine', 'd/new')],
    ]
    for (const [what, change] of changes) {
      add(`${what} asks for write and search permission of the directory`, 'POSIX 4.5; EACCES', () => {
        sys.mkdir('d')
        file('d/f', '', 0o666)
        sys.mkdir('d/e', 0o777)
        sys.chown('d', alice.uid, alice.gid)
        as(alice, () => file('mine'))
        for (const perm of [0o577, 0o677, 0o477]) {
          sys.chmod('d', perm)
          fails('EACCES', () => as(alice, change), `mode ${perm.toString(8)}`)
        }
        sys.chmod('d', 0o300)
        as(alice, change)
      })
    }
    add('opening an existing file asks nothing of its directory but search', 'POSIX open', () => {
      sys.mkdir('d')
      file('d/f', 'x', 0o666)
      sys.chmod('d', 0o111)
      as(alice, () => {
        equal(text('d/f'), 'x')
        sys.write(sys.open('d/f', O.CREAT | O.WRONLY), 'y')
        fails('EACCES', () => list('d'))
      })
    })
    add('a directory that can be read and not searched gives names alone', 'POSIX 4.5; readdir, stat: EACCES', () => {
      sys.mkdir('d')
      file('d/f', 'x', 0o666)
      sys.chmod('d', 0o744)
      as(alice, () => {
        equal(list('d'), ['f'])
        fails('EACCES', () => sys.lstat('d/f'))
      })
    })
    add('each directory of a path is searched', 'POSIX 4.13 Pathname resolution: EACCES', () => {
      sys.mkdir('a')
      sys.mkdir('a/b')
      sys.mkdir('a/b/c')
      file('a/b/c/f', 'x', 0o644)
      for (const closed of ['a', 'a/b', 'a/b/c']) {
        sys.chmod(closed, 0o766)
        fails('EACCES', () => as(alice, () => text('a/b/c/f')), closed)
        sys.chmod(closed, 0o755)
      }
      equal(
        as(alice, () => text('a/b/c/f')),
        'x',
      )
    })
    add('a permission that is taken holds at once', 'POSIX chmod', () => {
      file('f', 'x', 0o644)
      for (let i = 0; i < 5; i++) {
        sys.chmod('f', 0o600)
        fails('EACCES', () => as(alice, () => text('f')))
        sys.chmod('f', 0o604)
        equal(
          as(alice, () => text('f')),
          'x',
        )
      }
    })
    add('a permission that another process takes holds at once', 'POSIX chmod', async ({ actor }) => {
      const other = await actor()
      file('f', 'x', 0o644)
      equal(
        as(alice, () => text('f')),
        'x',
      )
      await other.do('chmod', 'f', 0o600)
      fails('EACCES', () => as(alice, () => text('f')))
    })
    add(
      'root reads and writes all',
      'capabilities(7): CAP_DAC_OVERRIDE',
      () => {
        as(alice, () => {
          sys.mkdir('d', 0o700)
          file('d/f', 'x', 0)
          sys.chmod('d', 0)
        })
        equal(text('d/f'), 'x')
        sys.write(sys.open('d/f', O.WRONLY), 'y')
        file('d/new')
        equal(list('d'), ['f', 'new'])
      },
      { needs: ['root'] },
    )
    add('O_TRUNC asks for write permission', 'open(2): EACCES', () => {
      file('f', 'kept', 0o644)
      fails('EACCES', () => as(alice, () => sys.open('f', O.RDONLY | O.TRUNC)))
      equal(text('f'), 'kept')
    })
    add(
      'the owner opens a file of mode 0 after chmod alone',
      'POSIX 4.5: the owner has no special right to the content',
      () => {
        file('f', 'x', 0)
        sys.chown('f', alice.uid, alice.gid)
        as(alice, () => {
          fails('EACCES', () => text('f'))
          sys.chmod('f', 0o400)
          equal(text('f'), 'x')
        })
      },
    )
    add('a supplementary group that is not there', 'credentials(7)', () => {
      file('f', 'x', 0o640)
      sys.chown('f', 0, staff)
      fails('EACCES', () => as({ ...alice, groups: [staff + 1] }, () => text('f')))
      equal(
        as({ ...alice, groups: Array.from({ length: 40 }, (_, i) => staff - 20 + i) }, () => text('f')),
        'x',
      )
    })
  },
  { needs: ['root'] },
)

export const sticky = cases(
  'sticky',
  add => {
    const make = (owner: Identity = { uid: 0, gid: 0 }): void => {
      sys.mkdir('d')
      sys.chmod('d', 0o1777)
      sys.chown('d', owner.uid, owner.gid)
      as(alice, () => {
        file('d/f', 'x', 0o666)
        sys.mkdir('d/e', 0o777)
      })
    }
    const refused: [string, () => unknown][] = [
      ['unlink', () => sys.unlink('d/f')],
      ['rmdir', () => sys.rmdir('d/e')],
      ['rename within', () => sys.rename('d/f', 'd/g')],
      ['rename out', () => sys.rename('d/f', 'g')],
      ['rename over it', () => sys.rename('bobs', 'd/f')],
      ['rename of a directory', () => sys.rename('d/e', 'd/g')],
      ['exchange with it', () => sys.renameat2('bobs', 'd/f', 2)],
    ]
    for (const [what, call] of refused) {
      add(`${what} by another user`, 'POSIX unlink, rmdir, rename: S_ISVTX: EPERM or EACCES', () => {
        make()
        as(bob, () => file('bobs', 'y'))
        fails(['EPERM', 'EACCES'], () => as(bob, call))
        equal([list('d'), text('d/f')].flat(), ['e', 'f', 'x'])
      })
    }
    const allowed = refused.filter(([what]) => what !== 'exchange with it')
    add('all of it by the owner of the file', 'POSIX: S_ISVTX: the owner of the file', () => {
      make()
      as(alice, () => {
        sys.rename('d/f', 'd/g')
        sys.rename('d/g', 'd/f')
        sys.unlink('d/f')
        sys.rmdir('d/e')
      })
      equal(list('d'), [])
    })
    add('all of it by the owner of the directory', 'POSIX: S_ISVTX: the owner of the directory', () => {
      for (const [what, call] of allowed.slice(0, 3)) {
        make(bob)
        as(bob, call)
        for (const name of list('d')) (sys.stat(`d/${name}`).type === S.IFDIR ? sys.rmdir : sys.unlink)(`d/${name}`)
        sys.rmdir('d')
        equal(list().includes('d'), false, what)
      }
    })
    add('all of it by root', 'POSIX: S_ISVTX: appropriate privileges', () => {
      make()
      sys.rename('d/f', 'd/g')
      sys.unlink('d/g')
      sys.rmdir('d/e')
      equal(list('d'), [])
    })
    add('others make, change and link what they may', 'inode(7): the sticky bit restricts deletion', () => {
      make()
      as(bob, () => {
        file('d/bobs', 'y')
        sys.write(sys.open('d/f', O.WRONLY), 'z')
        sys.link('d/f', 'd/linked')
        sys.unlink('d/bobs')
      })
      equal([text('d/f'), list('d')].flat(), ['z', 'e', 'f', 'linked'])
    })
    add('without the bit the permission of the directory is enough', 'POSIX unlink', () => {
      make()
      sys.chmod('d', 0o777)
      as(bob, () => sys.unlink('d/f'))
      equal(list('d'), ['e'])
    })
  },
  { needs: ['root'] },
)
