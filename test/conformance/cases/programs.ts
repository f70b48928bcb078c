import { cases } from '../case.js'
import { equal, fails, ok } from '../kit/check.js'
import { file, fresh, text } from '../kit/files.js'
import { O } from '../kit/flags.js'
import { alice, as } from '../kit/identity.js'
import { copyProgram, runProgram, script } from '../kit/program.js'
import { sys } from '../kit/sys.js'
import { watched } from '../kit/watch.js'

const needs = { needs: ['programs'] as const }

export const exec = cases('exec', add => {
  add(
    'a program runs',
    'execve(2)',
    ({ directory }) => {
      copyProgram('/bin/echo', `${directory}/echo`)
      equal(runProgram('./echo', ['it', 'runs']).stdout, 'it runs\n')
    },
    needs,
  )
  add(
    'a script runs',
    'execve(2): interpreter scripts',
    () => {
      script('s', 'echo "$1 ran"')
      equal(runProgram('./s', ['it']).stdout, 'it ran\n')
    },
    needs,
  )
  add(
    'without permission',
    'execve(2): EACCES; root, too, needs one execute bit',
    () => {
      script('s', 'exit 0', 0o644)
      equal(runProgram('./s').error, 'EACCES')
      sys.chmod('s', 0o645)
      equal([runProgram('./s').status, runProgram('./s', [], alice).status], [0, 0])
      sys.chmod('s', 0o744)
      equal(runProgram('./s', [], alice).error, 'EACCES')
    },
    { needs: ['programs', 'root'] },
  )
  add(
    'a directory',
    'execve(2): EACCES',
    () => {
      sys.mkdir('d')
      equal(runProgram('./d').error, 'EACCES')
    },
    needs,
  )
  add(
    'a program that was replaced',
    'rename(2), execve(2)',
    () => {
      for (const word of ['one', 'two', 'three']) {
        script('s.new', `echo ${word}`)
        sys.rename('s.new', 's')
        equal(runProgram('./s').stdout, `${word}\n`)
      }
    },
    needs,
  )
  add(
    'a program that may be executed and not read',
    'execve(2): execute permission alone',
    ({ directory }) => {
      copyProgram('/bin/echo', `${directory}/echo`, 0o711)
      equal(runProgram('./echo', ['x'], alice).stdout, 'x\n')
      fails('EACCES', () => as(alice, () => text('echo')))
    },
    { needs: ['programs', 'root'] },
  )
})

export const workingDirectory = cases('working-directory', add => {
  add('chdir and getcwd', 'chdir(2), getcwd(3)', ({ directory }) => {
    sys.mkdir('d')
    sys.mkdir('d/e')
    sys.chdir('d/e')
    equal(sys.getcwd(), `${directory}/d/e`)
    sys.chdir('..')
    equal(sys.getcwd(), `${directory}/d`)
  })
  add('fchdir', 'fchdir(2)', ({ directory }) => {
    sys.mkdir('d')
    const fd = sys.open('d', O.DIRECTORY)
    sys.rename('d', 'e')
    sys.fchdir(fd)
    equal(sys.getcwd(), `${directory}/e`)
  })
  add('what is no directory', 'chdir(2): ENOTDIR, ENOENT', () => {
    file('f')
    fails('ENOTDIR', () => sys.chdir('f'))
    fails('ENOENT', () => sys.chdir('missing'))
    fails('ENOTDIR', () => sys.fchdir(sys.open('f')))
  })
  add('without search permission', 'chdir(2): EACCES', () => {
    sys.mkdir('d', 0o766)
    fails('EACCES', () => as(alice, () => sys.chdir('d')))
  })
  add('through a symlink', 'getcwd(3): no symbolic links', ({ directory }) => {
    sys.mkdir('d')
    sys.symlink('d', 'l')
    sys.chdir('l')
    equal(sys.getcwd(), `${directory}/d`)
  })
  add('moved by another process', 'getcwd(3)', async ({ actor, directory }) => {
    const other = await actor()
    sys.mkdir('d')
    sys.mkdir('to')
    sys.chdir('d')
    await other.do('rename', 'd', 'to/e')
    equal(sys.getcwd(), `${directory}/to/e`)
    file('f')
    equal(sys.stat(`${directory}/to/e/f`).size, 0)
  })
})

export const inotify = cases('inotify', add => {
  add(
    'names that come, change and go',
    'inotify(7): IN_CREATE, IN_MODIFY, IN_CLOSE_WRITE, IN_ATTRIB, IN_DELETE',
    () => {
      sys.mkdir('d')
      const { events } = watched('d', () => {
        file('d/f', 'x')
        sys.chmod('d/f', 0o600)
        sys.unlink('d/f')
      })
      equal(events, ['CREATE f', 'MODIFY f', 'CLOSE_WRITE f', 'ATTRIB f', 'DELETE f'])
    },
  )
  add('a rename has two halves with one cookie', 'inotify(7): IN_MOVED_FROM, IN_MOVED_TO', () => {
    sys.mkdir('d')
    file('d/a')
    const { events, cookies } = watched('d', () => sys.rename('d/a', 'd/b'))
    equal(events, ['MOVED_FROM a', 'MOVED_TO b'])
    equal(cookies[0], cookies[1])
    ok(cookies.length === 2, 'two cookies')
  })
  add('directories and links', 'inotify(7): IN_CREATE', () => {
    sys.mkdir('d')
    file('f')
    const { events } = watched('d', () => {
      sys.mkdir('d/e')
      sys.symlink('x', 'd/l')
      sys.link('f', 'd/g')
      sys.rmdir('d/e')
    })
    equal(events, ['CREATE e', 'CREATE l', 'CREATE g', 'DELETE e'])
  })
  add('a watched file that goes', 'inotify(7): IN_ATTRIB, IN_DELETE_SELF', () => {
    file('f')
    const { events } = watched('f', () => sys.unlink('f'))
    equal(events, ['ATTRIB', 'DELETE_SELF'])
  })
  add('a watched file that moves', 'inotify(7): IN_MOVE_SELF', () => {
    file('f')
    equal(watched('f', () => sys.rename('f', 'g')).events, ['MOVE_SELF'])
  })
  add('truncation and writing', 'inotify(7): IN_MODIFY', () => {
    const fd = fresh('f', 'abc')
    equal(watched('f', () => sys.ftruncate(fd, 1)).events, ['MODIFY'])
    equal(watched('f', () => sys.pwrite(fd, 'x', 0)).events, ['MODIFY'])
  })
})
