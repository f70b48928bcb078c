/** A home that is lost and joins anew, and one that is copied and runs twice. */
import { cpSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { clusterOf, until, type Machine } from './support/cluster.js'

const cluster = clusterOf(t)

t.jobs = 2
await Promise.all([
  t.test('a voter whose channel is gone joins anew, and counts again', { buffered: true }, async t => {
    const [a, b, c] = (await cluster.members('a', 'b', 'c')) as [Machine, Machine, Machine]
    await a.mount()
    t.equal((await a.shell('echo precious > kept; sync kept')).code, 0)
    await c.must('stop')
    renameSync(c.folder(), `${c.home}.lost`)
    const token = await a.must('member', 'invite', 'demo')
    const { code, stderr } = await c.rkfs('join', token)
    t.equal(code, 0, stderr)
    await cluster.agree([a, b, c])
    for (const one of [a, b, c]) {
      await until(`nothing is said any more on ${one.name}`, async () => (await one.status())?.findings.length === 0)
    }
    const slots = (await a.status())!.members.map(({ id }) => id)
    t.equal(new Set(slots).size, 3, 'under its old id')
    await c.mount()
    t.equal((await c.shell('cat kept')).stdout, 'precious\n')
    // it is one of the two that are left
    await b.must('stop')
    t.equal((await c.shell('echo more > later; sync later', 40)).code, 0)
    await b.mount()
    await cluster.same([a, b, c])
  }),
  t.test('a copy of a home beside the first is refused, by name, on both sides', { buffered: true }, async t => {
    const [a, b, c] = (await cluster.members('a2', 'b2', 'c2')) as [Machine, Machine, Machine]
    const copy = await cluster.machine('copy')
    await c.must('stop')
    cpSync(c.home, copy.home, { recursive: true })
    writeFileSync(
      `${copy.home}/config.toml`,
      readFileSync(`${c.home}/config.toml`, 'utf8').replace(/^listen.*$/m, `listen = "127.0.0.1:${copy.port}"`),
    )
    await Promise.all([a, c].map(machine => machine.mount()))
    await cluster.agree([a, b, c])
    // it fails to mount: nobody opens a session for it
    await copy.rkfs('mount', 'demo', copy.directory)
    const says = async (machine: Machine): Promise<string> => (await machine.status())?.findings.join('\n') ?? ''
    await until('the copy says so', async () => /this node is refused/.test(await says(copy)), 60)
    for (const one of [a, b]) {
      await until(`${one.name} says so`, async () => /a second node with the identity of/.test(await says(one)))
    }
    for (const one of [a, copy]) {
      const { code, stdout } = await one.rkfs('status')
      t.equal(code, 1, one.name)
      t.match(stdout, /its home was copied, and runs twice/)
    }
    t.equal((await c.shell('echo first > file; sync file')).code, 0, 'the first one works on')
    t.not((await copy.shell('echo second > file; sync file', 45)).code, 0, 'the second one does not')
    t.equal((await a.shell('cat file')).stdout, 'first\n')
    t.ok((await a.status())!.quorum.ok)
    await copy.must('stop', '--force')
    for (const one of [a, b, c]) {
      await until(`it is over on ${one.name}`, async () => (await says(one)) === '', 40)
    }
    t.equal((await a.rkfs('status')).code, 0)
    await cluster.same([a, b, c])
  }),
])
