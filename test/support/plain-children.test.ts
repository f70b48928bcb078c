/** What tests start is what people run: nothing of the test runner's reaches it. */
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { run } from '../e2e/support/process.js'

const tell = ['-p', 'JSON.stringify([process.env.NODE_OPTIONS, Object.keys(process.env)])']

t.test('a program that is run has the environment that it is given', async t => {
  const { stdout } = await run(process.execPath, tell, { limitSeconds: 20, env: { RKFS_HOME: '/nowhere' } })
  const [options, names] = JSON.parse(stdout) as [string | null, string[]]
  t.equal(options, null)
  t.same(names.sort(), ['HOME', 'LC_ALL', 'PATH', 'RKFS_HOME'])
})

t.test('one that inherits the environment does not inherit what the runner put there', async t => {
  const { stdout } = spawnSync(process.execPath, tell, { encoding: 'utf8', timeout: 20_000 })
  const [options, names] = JSON.parse(stdout) as [string | null, string[]]
  t.notMatch(options, /tapjs/)
  t.same(
    names.filter(name => name.startsWith('_TAPJS_')),
    [],
  )
})
