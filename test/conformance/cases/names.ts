import { cases } from '../case.js'
import { equal, fails } from '../kit/check.js'
import { exists, file, fresh, list, text } from '../kit/files.js'
import { O, S } from '../kit/flags.js'
import type { Path } from '../kit/libc.js'
import { sys } from '../kit/sys.js'

export const names = cases('names', add => {
  const roundTrip = (name: Path): void => {
    file(name, 'x')
    equal(list(), [Buffer.from(name as string).toString('latin1')])
    equal(text(name), 'x')
    sys.unlink(name)
    equal(list(), [])
  }
  for (const [what, name] of [
    ['bytes that are no UTF-8', Buffer.of(0xff, 0xfe, 0x80, 0x41)],
    ['a cut UTF-8 sequence', Buffer.of(0x61, 0xe2, 0x82)],
    ['control characters', '\u0001\u0002\b\u001b[31m\u007f'],
    ['a newline and a tab', 'a\nb\tc'],
    ['blanks at the ends', '  a  '],
    ['a dash at the beginning', '-rf'],
    ['wildcards and quotes', '*?[a]{b}"\'`$(x)'],
    ['a backslash and a colon', 'C:\\a|b<c>d'],
    ['three dots', '...'],
    ['a dot at the end', 'name.'],
    ['a percent sign', '%00%2f'],
    ['letters beyond the basic plane', '\u{1f4c1}\u{1d11e}'],
    ['a right-to-left mark', 'a\u202eb'],
    ['a name that FUSE libraries use', '.fuse_hidden0000000100000001'],
    ['a byte order mark', '\ufeffname'],
  ] as const) {
    add(what, 'POSIX 3.170 filename: any bytes but slash and NUL', () => roundTrip(name))
  }
  add('each byte as a name', 'POSIX 3.170 filename', () => {
    const expected: string[] = []
    for (let byte = 1; byte < 256; byte++) {
      if (byte === 0x2e || byte === 0x2f) continue
      sys.mknod(Buffer.of(byte), S.IFREG | 0o600)
      expected.push(String.fromCharCode(byte))
    }
    equal(list(), expected.sort())
    for (const name of expected) equal(exists(Buffer.from(name, 'latin1')), true)
  })
  add('large and small letters differ', 'POSIX 3.170 filename: distinct bytes', () => {
    file('Name', 'large')
    file('name', 'small')
    equal([text('Name'), text('name'), list().length], ['large', 'small', 2])
  })
  add('composed and decomposed letters differ', 'POSIX 3.170 filename: no normalization', () => {
    file('\u00e4', 'one')
    file('a\u0308', 'two')
    equal([text('\u00e4'), text('a\u0308')], ['one', 'two'])
  })
  for (const [what, make] of [
    ['a file', (name: Path) => file(name)],
    ['a directory', (name: Path) => sys.mkdir(name)],
    ['a symlink', (name: Path) => sys.symlink('x', name)],
    ['a fifo', (name: Path) => sys.mknod(name, S.IFIFO | 0o600)],
    ['a link', (name: Path) => sys.link('source', name)],
    ['a renamed file', (name: Path) => sys.rename('source', name)],
  ] as const) {
    add(`${what} with a name of 255 bytes, not of 256`, 'limits.h: NAME_MAX; ENAMETOOLONG', () => {
      file('source')
      fails('ENAMETOOLONG', () => make('n'.repeat(256)))
      equal(list(), ['source'])
      make('n'.repeat(255))
      equal(exists('n'.repeat(255)), true)
      equal(list().includes('n'.repeat(255)), true)
    })
  }
  add('255 bytes of letters of three bytes', 'limits.h: NAME_MAX is in bytes', () => {
    file('\u20ac'.repeat(85))
    equal(sys.stat('\u20ac'.repeat(85)).type, S.IFREG)
    fails('ENAMETOOLONG', () => file('\u20ac'.repeat(86)))
  })
  for (const [what, call] of [
    ['stat', (name: Path) => sys.stat(name)],
    ['open', (name: Path) => sys.open(name)],
    ['unlink', (name: Path) => sys.unlink(name)],
    ['rmdir', (name: Path) => sys.rmdir(name)],
    ['rename of it', (name: Path) => sys.rename(name, 'x')],
    ['a path through it', (name: Path) => sys.stat(Buffer.concat([Buffer.from(name as string), Buffer.from('/x')]))],
  ] as const) {
    add(`${what} with a name of 256 bytes`, 'ENAMETOOLONG: a component is longer than NAME_MAX', () => {
      fails('ENAMETOOLONG', () => call('n'.repeat(256)))
    })
  }
  add('a path of 4095 bytes, not of 4096', 'limits.h: PATH_MAX; ENAMETOOLONG', () => {
    file('f', 'x')
    const path = (bytes: number): string =>
      `${'./'.repeat(bytes)}`.slice(0, bytes - 1 - ((bytes - 1) % 2)) + '/'.repeat((bytes - 1) % 2) + 'f'
    equal(path(4095).length, 4095)
    equal(text(path(4095)), 'x')
    fails('ENAMETOOLONG', () => sys.stat(path(4096)))
  })
  add('a tree deeper than PATH_MAX', 'POSIX pathname resolution: a path limits one call, not the tree', () => {
    const name = 'd'.repeat(250)
    for (let i = 0; i < 20; i++) {
      sys.mkdir(name)
      sys.chdir(name)
    }
    file('deep', 'x')
    equal(text('deep'), 'x')
    fails('ENAMETOOLONG', () => sys.stat(`../${`${name}/`.repeat(20)}`))
    for (let i = 0; i < 20; i++) sys.chdir('..')
    equal(list(), [name])
  })
  add('slashes and dots in a path', 'POSIX pathname resolution', () => {
    sys.mkdir('d')
    file('d/f', 'x')
    for (const path of ['d//f', './d/./f', 'd/../d/f', './/.//d///f']) equal(text(path), 'x', path)
  })
  add('a name that comes and goes', 'POSIX open, unlink', () => {
    for (let i = 0; i < 20; i++) {
      fails('ENOENT', () => sys.stat('f'))
      sys.close(fresh('f', `${i}`))
      equal(text('f'), `${i}`)
      sys.unlink('f')
    }
  })
  add('a name changes its type', 'POSIX: names are not bound to types', () => {
    for (const [make, remove, type] of [
      [() => file('n'), () => sys.unlink('n'), S.IFREG],
      [() => sys.mkdir('n'), () => sys.rmdir('n'), S.IFDIR],
      [() => sys.symlink('x', 'n'), () => sys.unlink('n'), S.IFLNK],
      [() => sys.mknod('n', S.IFIFO | 0o600), () => sys.unlink('n'), S.IFIFO],
    ] as const) {
      make()
      equal(sys.lstat('n').type, type)
      remove()
    }
    equal(list(), [])
  })
  add('a path through an open directory', 'proc(5): /proc/pid/fd', () => {
    sys.mkdir('d')
    const fd = sys.open('d', O.DIRECTORY)
    file(`/proc/self/fd/${fd}/f`, 'x')
    equal(text('d/f'), 'x')
  })
})
