import { chmodSync, existsSync, mkdirSync, rmdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { prepareAgain } from '../../src/daemon/mount-directory.js'

t.test('the directory of a mount that comes back', async t => {
  const parent = t.testdir({ file: 'x', full: { a: '', b: '', c: '', d: '' } })
  const made = join(parent, 'made anew')
  const before = process.umask(0o077)
  t.teardown(() => process.umask(before))
  await prepareAgain(made, false)
  t.equal(statSync(made).mode & 0o777, 0o755)
  chmodSync(made, 0o700)
  await prepareAgain(made, false)
  t.equal(statSync(made).mode & 0o777, 0o700, 'one that is there stays as it is')
  rmdirSync(made)
  mkdirSync(join(parent, '-n'))
  await prepareAgain(join(parent, '-n'), false)

  const full = join(parent, 'full')
  await t.rejects(prepareAgain(full, false), { message: /holds files, .*\(a, b, c, …\)/ })
  await prepareAgain(full, true)
  writeFileSync(join(parent, '-n', '.hidden'), '')
  await t.rejects(prepareAgain(join(parent, '-n'), false), { message: /\(\.hidden\)/ })

  await t.rejects(prepareAgain(join(parent, 'file'), false), { message: /cannot be looked at: .*Not a directory/ })
  await t.rejects(prepareAgain(join(parent, 'file'), true), { message: /cannot be looked at/ })
  await t.rejects(prepareAgain(join(parent, 'none', 'made'), false), { message: /cannot be looked at: .*No such file/ })
  t.notOk(existsSync(join(parent, 'none')), 'what was above it is somebody else’s to make')
})
