import { cases } from '../case.js'
import { equal, fails, ok } from '../kit/check.js'
import { entries, entriesOf, file, list, text } from '../kit/files.js'
import { DT, O, S, SEEK } from '../kit/flags.js'
import { sys } from '../kit/sys.js'
import { largeEntries, largeEntriesSeconds, manyEntries, manyEntriesSeconds } from '../limits.js'

const named = (found: readonly { name: string }[]): string[] =>
  found.map(entry => entry.name).filter(name => name !== '.' && name !== '..')
const counted = (count: number, prefix = 'f'): string[] => Array.from({ length: count }, (_, i) => `${prefix}${i}`)

/** Empty files, made with one call each. */
function fill(directory: string, names: readonly string[]): void {
  for (const name of names) sys.mknod(`${directory}/${name}`, S.IFREG | 0o600)
}

export const readdir = cases('readdir', add => {
  add('dot and dot-dot, once each', 'POSIX readdir: one entry for dot and one for dot-dot', () => {
    sys.mkdir('d')
    equal(
      entries('d')
        .map(entry => entry.name)
        .sort(),
      ['.', '..'],
    )
  })
  add('inode numbers are those of stat', 'POSIX readdir: d_ino', () => {
    sys.mkdir('d')
    for (const name of ['a', 'b', 'c']) file(`d/${name}`)
    sys.mkdir('d/e')
    for (const entry of entries('d')) equal(entry.ino, sys.lstat(`d/${entry.name}`).ino, entry.name)
  })
  add('types of entries', 'readdir(3): d_type', () => {
    sys.mkdir('d')
    file('d/file')
    sys.mkdir('d/directory')
    sys.symlink('x', 'd/link')
    sys.mknod('d/fifo', S.IFIFO | 0o600)
    sys.mknod('d/socket', S.IFSOCK | 0o600)
    const types = Object.fromEntries(entries('d').map(entry => [entry.name, entry.type]))
    equal(types, {
      '.': DT.DIR,
      '..': DT.DIR,
      file: DT.REG,
      directory: DT.DIR,
      link: DT.LNK,
      fifo: DT.FIFO,
      socket: DT.SOCK,
    })
  })
  add(
    'types of devices',
    'readdir(3): d_type',
    () => {
      sys.mknod('c', S.IFCHR | 0o600, 1, 3)
      sys.mknod('b', S.IFBLK | 0o600, 7, 0)
      const types = Object.fromEntries(entries().map(entry => [entry.name, entry.type]))
      equal([types['c'], types['b']], [DT.CHR, DT.BLK])
    },
    { needs: ['root'] },
  )
  add('what is no directory', 'getdents(2): ENOTDIR', () => {
    file('f')
    const fd = sys.open('f')
    fails('ENOTDIR', () => sys.getdents(fd))
  })
  add('a buffer too small for an entry', 'getdents(2): EINVAL', () => {
    sys.mkdir('d')
    file(`d/${'n'.repeat(200)}`)
    const fd = sys.open('d', O.DIRECTORY)
    fails('EINVAL', () => {
      for (let i = 0; i < 4; i++) sys.getdents(fd, 30)
    })
  })
  for (const size of [64, 300, 4096]) {
    add(`with a buffer of ${size} bytes`, 'getdents(2): as many as fit, the rest with the next call', () => {
      sys.mkdir('d')
      fill('d', counted(100))
      equal(named(entriesOf(sys.open('d', O.DIRECTORY), size)).sort(), counted(100).sort())
    })
  }
  add('long names', 'getdents(2): d_name', () => {
    sys.mkdir('d')
    const names = Array.from({ length: 40 }, (_, i) => String.fromCharCode(65 + i).repeat(255))
    for (const name of names) file(`d/${name}`)
    equal(list('d'), names.sort())
  })
  add('a listing tells of each change', 'POSIX readdir after opendir', () => {
    sys.mkdir('d')
    equal(list('d'), [])
    file('d/a')
    equal(list('d'), ['a'])
    sys.rename('d/a', 'd/b')
    equal(list('d'), ['b'])
    sys.link('d/b', 'd/c')
    sys.mkdir('d/d')
    sys.symlink('x', 'd/e')
    equal(list('d'), ['b', 'c', 'd', 'e'])
    sys.unlink('d/b')
    sys.rmdir('d/d')
    equal(list('d'), ['c', 'e'])
  })
  add('rewinding shows what is new', 'POSIX rewinddir: as a call to opendir', () => {
    sys.mkdir('d')
    file('d/a')
    const fd = sys.open('d', O.DIRECTORY)
    equal(named(entriesOf(fd)), ['a'])
    file('d/b')
    sys.unlink('d/a')
    sys.lseek(fd, 0)
    equal(named(entriesOf(fd)), ['b'])
  })
  add('at the end there is nothing', 'getdents(2): 0 at the end', () => {
    sys.mkdir('d')
    const fd = sys.open('d', O.DIRECTORY)
    entriesOf(fd)
    equal([sys.getdents(fd).length, sys.getdents(fd).length], [0, 0])
  })
  add('two descriptors have two positions, a duplicate has the same', 'POSIX dup, opendir', () => {
    sys.mkdir('d')
    fill('d', counted(30))
    const [a, b] = [sys.open('d', O.DIRECTORY), sys.open('d', O.DIRECTORY)]
    const first = sys.getdents(a, 200)
    equal(sys.getdents(b, 200), first)
    const next = sys.getdents(sys.dup(a), 200)
    ok(next[0]!.name !== first[0]!.name, 'the duplicate goes on')
    equal(named([...first, ...next, ...entriesOf(a)]).sort(), counted(30).sort())
  })
  add('each position is where the listing goes on', 'POSIX telldir, seekdir', () => {
    sys.mkdir('d')
    fill('d', counted(60))
    const fd = sys.open('d', O.DIRECTORY)
    const all = entriesOf(fd)
    for (const at of [0, 1, 17, 30, 59, 61]) {
      sys.lseek(fd, all[at]!.offset)
      equal(named(entriesOf(fd, 500)), named(all.slice(at + 1)), `after entry ${at}`)
    }
  })
  add('a position holds after other entries went', 'POSIX seekdir: a value of telldir', () => {
    sys.mkdir('d')
    fill('d', counted(60))
    const fd = sys.open('d', O.DIRECTORY)
    const all = entriesOf(fd)
    for (const { name } of all.slice(0, 20)) if (!name.startsWith('.')) sys.unlink(`d/${name}`)
    sys.lseek(fd, all[39]!.offset)
    equal(named(entriesOf(fd)).sort(), named(all.slice(40)).sort())
  })
  add('a position holds in another descriptor', 'lseek(2) of a directory of ext4: offsets are of the directory', () => {
    sys.mkdir('d')
    fill('d', counted(60))
    const all = entriesOf(sys.open('d', O.DIRECTORY))
    const fd = sys.open('d', O.DIRECTORY)
    sys.lseek(fd, all[29]!.offset)
    equal(named(entriesOf(fd)), named(all.slice(30)))
  })
  add('positions are positive and differ', 'POSIX telldir', () => {
    sys.mkdir('d')
    fill('d', counted(200))
    const offsets = entries('d').map(entry => entry.offset)
    equal(new Set(offsets).size, offsets.length)
    ok(
      offsets.every(offset => offset > 0n),
      'all are positive',
    )
  })
  add(
    'entries that stay are listed once while others come and go',
    'POSIX readdir: others may or may not be returned',
    () => {
      sys.mkdir('d')
      fill('d', counted(200, 'stays'))
      fill('d', counted(100, 'goes'))
      const fd = sys.open('d', O.DIRECTORY)
      const seen: string[] = []
      for (let round = 0; ; round++) {
        const some = sys.getdents(fd, 700)
        if (some.length === 0) break
        seen.push(...named(some))
        if (round < 100) {
          sys.unlink(`d/goes${round}`)
          sys.mknod(`d/comes${round}`, S.IFREG | 0o600)
        }
      }
      equal(seen.filter(name => name.startsWith('stays')).sort(), counted(200, 'stays').sort())
      equal(new Set(seen).size, seen.length, 'names listed once')
    },
  )
  add('removing what was listed empties the directory', 'POSIX readdir: rm -r', () => {
    sys.mkdir('d')
    fill('d', counted(200))
    const fd = sys.open('d', O.DIRECTORY)
    for (;;) {
      const some = named(sys.getdents(fd, 1000))
      if (some.length === 0) break
      for (const name of some) sys.unlink(`d/${name}`)
    }
    sys.rmdir('d')
  })
  add('while another process makes and removes', 'POSIX readdir', async ({ actor }) => {
    sys.mkdir('d')
    fill('d', counted(100, 'stays'))
    const other = await actor()
    let churning = true
    const churn = other.do('churn', 'd', 100).finally(() => (churning = false))
    for (let i = 0; i < 200 && churning; i++) {
      const names = list('d').filter(name => name.startsWith('stays'))
      equal(names, counted(100, 'stays').sort())
      await new Promise(resolve => setImmediate(resolve))
    }
    await churn
  })
  add(
    `${manyEntries} entries, each once`,
    'POSIX readdir',
    () => {
      sys.mkdir('d')
      fill('d', counted(manyEntries))
      const names = named(entries('d'))
      equal(names.length, manyEntries)
      equal(names.sort(), counted(manyEntries).sort())
      for (let i = 0; i < manyEntries; i += 307) equal(sys.stat(`d/f${i}`).size, 0)
      fails('ENOENT', () => sys.stat(`d/f${manyEntries}`))
    },
    { seconds: manyEntriesSeconds },
  )
  add(
    `${largeEntries} entries, each once`,
    'POSIX readdir',
    () => {
      sys.mkdir('d')
      fill('d', counted(largeEntries))
      const names = named(entries('d'))
      equal([names.length, new Set(names).size], [largeEntries, largeEntries])
      for (let i = 0; i < largeEntries; i += 10_007) sys.unlink(`d/f${i}`)
      equal(named(entries('d')).length, largeEntries - 10)
    },
    { needs: ['large'], seconds: largeEntriesSeconds },
  )
  add('an entry that is renamed while it is listed is there afterwards', 'POSIX readdir, rename', () => {
    sys.mkdir('d')
    fill('d', counted(50))
    const fd = sys.open('d', O.DIRECTORY)
    sys.getdents(fd, 300)
    sys.rename('d/f49', 'd/moved')
    const rest = named(entriesOf(fd))
    ok(!(rest.includes('f49') && rest.includes('moved')), 'not under both names')
    equal(list('d').length, 50)
  })
  add(
    'a listing that goes on takes no name back to what it was',
    'rename(2): no point at which newpath is missing',
    () => {
      sys.mkdir('d')
      // with their successors more than one READDIRPLUS takes
      const names = counted(20)
      const replace = (version: number): void => {
        for (const name of names) {
          if (version > 0) sys.rename(`d/${name}.new`, `d/${name}`)
          file(`d/${name}.new`, String(version))
        }
      }
      replace(0)
      replace(1)
      const fd = sys.open('d', O.DIRECTORY)
      // some list what is made meanwhile, too: there the listing has no end
      for (let version = 1; version < 6; version++) {
        const some = sys.getdents(fd, 500)
        for (const name of names) {
          equal([text(`d/${name}`), text(`d/${name}.new`)], [String(version - 1), String(version)], name)
        }
        if (some.length === 0) break
        replace(version + 1)
      }
    },
  )
  add('a reference without a file is not listed', 'open(2): O_PATH: EBADF', () => {
    fails('EBADF', () => sys.getdents(sys.open('.', O.PATH | O.DIRECTORY)))
  })
  add('dot-dot of a listing is the parent', 'POSIX readdir', () => {
    sys.mkdir('d')
    sys.mkdir('d/e')
    const found = entries('d/e').find(entry => entry.name === '..')
    equal(found?.ino, sys.stat('d').ino)
  })
  add('a position within a partial read', 'getdents(2), lseek(2): SEEK_CUR', () => {
    sys.mkdir('d')
    fill('d', counted(40))
    const fd = sys.open('d', O.DIRECTORY)
    const some = sys.getdents(fd, 400)
    // as numbers: ext4 uses more bits than a number has
    equal(sys.lseek(fd, 0, SEEK.CUR), Number(some.at(-1)!.offset))
  })
})
