import { cases } from '../case.js'
import { equal, fails } from '../kit/check.js'
import { file, list } from '../kit/files.js'
import { O, S } from '../kit/flags.js'
import { alice, as } from '../kit/identity.js'
import { sys } from '../kit/sys.js'

type Call = readonly [string, (path: string) => unknown]

/** Calls with a path, each on its own: a driver answers each in another place. */
const calls: readonly Call[] = [
  ['open', path => sys.open(path)],
  ['open with O_CREAT', path => sys.open(path, O.CREAT | O.WRONLY)],
  ['stat', path => sys.stat(path)],
  ['access', path => sys.access(path, 0)],
  ['mkdir', path => sys.mkdir(path)],
  ['rmdir', path => sys.rmdir(path)],
  ['mknod', path => sys.mknod(path, S.IFIFO | 0o600)],
  ['unlink', path => sys.unlink(path)],
  ['symlink', path => sys.symlink('target', path)],
  ['readlink', path => sys.readlink(path)],
  ['link to it', path => sys.link('f', path)],
  ['link of it', path => sys.link(path, 'new')],
  ['rename to it', path => sys.rename('f', path)],
  ['rename of it', path => sys.rename(path, 'new')],
  ['chmod', path => sys.chmod(path, 0o600)],
  ['chown', path => sys.chown(path, -1, -1)],
  ['truncate', path => sys.truncate(path, 0)],
  ['utimensat', path => sys.touch(path)],
  ['statfs', path => sys.statfs(path)],
  ['chdir', path => sys.chdir(path)],
]

export const paths = cases('paths', add => {
  for (const [what, call] of calls) {
    add(
      `${what} below a file, a loop and nothing`,
      'POSIX pathname resolution: ENOTDIR, ELOOP, ENOENT of a prefix',
      () => {
        file('f')
        sys.symlink('loop', 'loop')
        fails('ENOTDIR', () => call('f/x'))
        fails('ELOOP', () => call('loop/x'))
        fails('ENOENT', () => call('missing/x'))
        equal(list(), ['f', 'loop'])
      },
    )
  }
  for (const [what, call] of calls) {
    add(`${what} below a directory that one may not search`, 'POSIX pathname resolution: EACCES', () => {
      sys.mkdir('d', 0o766)
      file('d/x')
      file('f', '', 0o666)
      fails('EACCES', () => as(alice, () => call('d/x')))
      equal(list('d'), ['x'])
    })
  }
})
