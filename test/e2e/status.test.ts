/** What `rkfs status` says is enough to know how safe the files are, and what to do. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { clusterOf, until, type Machine } from './support/cluster.js'

const cluster = clusterOf(t, 200)
const [a, b, c] = [await cluster.machine('a'), await cluster.machine('b'), await cluster.machine('c')] as const

/** Waits for a first line, and answers the whole and the exit code. */
async function says(machine: Machine, first: RegExp): Promise<{ code: number | null; stdout: string }> {
  let seen = await machine.rkfs('status')
  await until(`${machine.name} says ${first}`, async () => {
    seen = await machine.rkfs('status')
    return first.test(seen.stdout.split('\n')[0]!)
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${seen.stdout}`)
  })
  return seen
}

await t.test('one, two and three members', async t => {
  await a.must('mount', 'demo', a.directory)
  t.equal((await says(a, /^demo: One copy only: /)).code, 0)
  const token = await a.must('member', 'invite', 'demo')
  const second = await b.rkfs('join', token)
  t.match(second.stderr, /warning: demo has two members now, and needs both: .* Let a third one join/)
  t.equal((await says(a, /^demo: all 2 copies are complete; 2 of 2 needed: no machine may fail$/)).code, 0)
  const third = await c.rkfs('join', await a.must('member', 'invite', 'demo'))
  t.notMatch(third.stderr, /warning/)
  for (const machine of [a, b, c]) {
    t.equal((await says(machine, /^demo: all 3 copies are complete; 1 machine may fail$/)).code, 0)
  }
})

await t.test('what the node takes of memory, which it gives back', async t => {
  const { memory, pid } = (await a.report())!.node
  t.ok(memory!.residentBytes > memory!.heapBytes && memory!.heapBytes > 0 && memory!.externalBytes > 0)
  t.match((await a.rkfs('status')).stdout, /process \d+  memory \d[\d.]* MiB \(heap \d.* MiB, external \d.*B\)\n/)
  const environment = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0')
  t.ok(environment.includes('MALLOC_ARENA_MAX=2'))
  t.ok(environment.some(each => each.startsWith('MALLOC_MMAP_THRESHOLD_=')))
})

await t.test('a voter is missing: exit code 1, and the warning comes first', async t => {
  await c.must('stop')
  for (const machine of [a, b]) {
    const { code, stdout } = await says(machine, /^demo: 2 of 3 copies are complete; .* no machine may fail$/)
    t.equal(code, 1)
    t.match(stdout.split('\n')[1], /^  ! c is not there: .*Start it.*`rkfs member remove demo c`/)
  }
})

await t.test('the majority is gone: what to do is said, and works', async t => {
  await a.shell('mkdir d; echo kept >d/f')
  await b.must('stop')
  const { code, stdout } = await says(a, /^demo: NO QUORUM: 1 of 3 voters reachable, 2 needed: nothing can be changed$/)
  t.equal(code, 3)
  t.match(stdout.split('\n')[1], /^  ! no quorum: .*make a new channel from a copy/)
  t.match((await a.rkfs('member', 'remove', 'demo', 'b')).stderr, /`rkfs status demo` says what to do/)
  const main = [process.execPath, (await import('./support/cluster.js')).mainPath].join(' ')
  const fresh = `${cluster.root}/mnt/fresh`
  const commands = [...stdout.split('\n')[1]!.matchAll(/`((?:rkfs (?!member)|cp )[^`]*)`/g)].map(match => match[1]!)
  t.equal(commands.length, 3)
  const script = commands
    .join(' && ')
    .replaceAll('rkfs ', `RKFS_HOME=${a.home} ${main} `)
    .replaceAll('<new dir>', fresh)
  const made = await a.shell(script, 60, '/')
  t.equal(made.code, 0, made.stderr)
  t.equal((await a.shell('cat d/f', 10, fresh)).stdout, 'kept\n')
})

await t.test('the owner is gone: who asks for what it alone may do is told the way', async t => {
  await a.must('stop')
  await b.mount()
  await c.mount()
  const { code, stdout } = await says(b, /^demo: 2 of 3 copies are complete; .* no machine may fail$/)
  t.equal(code, 1)
  t.match(stdout.split('\n')[1], /^  ! a is not there: .*a owns demo: without it nobody can be admitted or removed/)
  const refused = await b.rkfs('member', 'invite', 'demo')
  t.equal(refused.code, 4)
  t.match(
    refused.stderr,
    /only the owner of channel demo \(a\) may invite members, and it is not connected.*make a new channel/,
  )
})
