/** Places from which no command led out: new addresses for all, an address that is wrong, signals, a key that is gone. */
import { spawn } from 'node:child_process'
import { chmodSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { clusterOf, freePort, isRunning, mainPath, until, type Machine } from './support/cluster.js'

const cluster = clusterOf(t, 280)

function configure(machine: Machine, listen: string, more = ''): void {
  writeFileSync(join(machine.home, 'config.toml'), `name = "${machine.name}"\nlisten = "${listen}"\n${more}`)
}
const start = async (machine: Machine): Promise<void> => {
  spawn(process.execPath, [mainPath, 'serve', '--home', machine.home], { stdio: 'ignore' })
  await until(`${machine.name} answers`, async () => (await machine.report()) !== undefined)
}

await t.test('all members get new addresses at once', async t => {
  const machines = await cluster.members('a', 'b', 'c')
  const [a, b, c] = machines as [Machine, Machine, Machine]
  for (const machine of machines) await machine.must('stop', '--force')
  const addresses = new Map<string, string>()
  for (const machine of machines) {
    addresses.set(machine.name, `127.0.0.1:${await freePort()}`)
    configure(machine, addresses.get(machine.name)!)
    await start(machine)
  }
  const lost = await a.rkfs('status')
  t.equal(lost.code, 3)
  t.match(lost.stdout, /If they have new addresses: `rkfs member address demo [bc] HOST:PORT` on each machine/)
  t.match((await a.rkfs('member', 'address', 'demo', 'a', 'x:1')).stderr, /a is this node: its own address is `listen`/)
  t.equal((await a.rkfs('member', 'address', 'demo', 'b', 'nonsense')).code, 2)
  t.match(
    await a.must('member', 'address', 'demo', 'b', addresses.get('b')!),
    /b is looked for at 127\.0\.0\.1:\d+ from now on/,
  )
  await a.must('member', 'address', 'demo', 'c', addresses.get('c')!)
  await b.must('member', 'address', 'demo', 'c', addresses.get('c')!)
  await cluster.agree(machines)
  for (const machine of machines) {
    await until(`${machine.name} has all addresses`, async () => {
      const members = (await machine.status())?.members ?? []
      return members.length === 3 && members.every(m => m.address === addresses.get(m.name))
    })
  }
  t.equal((await a.rkfs('status')).code, 0, 'nothing is left to say')
  const redirections = (machine: Machine): unknown =>
    JSON.parse(readFileSync(join(machine.folder(), 'addresses.json'), 'utf8'))
  t.same(redirections(a), {})
  for (const machine of [a, b]) {
    await machine.must('member', 'address', 'demo', 'c', `127.0.0.1:${await freePort()}`)
    t.match((await machine.rkfs('status')).stdout, /c is looked for at/)
    await machine.must('member', 'address', 'demo', 'c', addresses.get('c')!)
    t.notMatch((await machine.rkfs('status')).stdout, /looked for/, `what ${machine.name} was told is taken back`)
    t.same(redirections(machine), {})
  }
  await c.must('stop')
})

await t.test('a member whose advertise is wrong is told so itself', async t => {
  const [a, b] = cluster.machines as [Machine, Machine]
  const listen = (await b.report())!.node.listen
  await b.must('stop')
  configure(b, listen, `advertise = "127.0.0.1:${await freePort()}"\n`)
  await start(b)
  const wrong = /^ {2}! .*cannot reach this node at 127\.0\.0\.1:\d+, as it is told: correct `advertise`/
  const lines = async (): Promise<string[]> => (await b.rkfs('status')).stdout.split('\n')
  await until('b says what is wrong, first', async () => wrong.test((await lines())[1] ?? ''), 40)
  t.notMatch((await lines()).join('\n'), /make a new channel/, 'the channel is whole')
  t.match((await b.rkfs('doctor')).stdout, /correct `advertise`/)
  await b.must('stop')
  configure(b, listen)
  await start(b)
  await until('they are connected', async () => (await a.status())?.quorum.ok === true)
})

await t.test('signals that would end a node, or open the debugger', async t => {
  const [a] = cluster.machines as [Machine]
  await a.must('stop')
  await a.mount()
  const pid = await a.pid()
  const ignored = ['SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGPROF', 'SIGIO', 'SIGPWR', 'SIGXFSZ'] as const
  for (const signal of ignored) process.kill(pid, signal)
  const log = (): string => readFileSync(join(a.home, 'node.log'), 'utf8')
  await until('the log says so', () =>
    ignored.every(signal => log().includes(`"signal":"${signal}","msg":"a signal is ignored`)),
  )
  t.notMatch(log(), /Debugger listening/)
  t.equal((await a.shell('ls')).code, 0)
  process.kill(pid, 'SIGQUIT')
  await until('SIGQUIT ends it in order', () => !isRunning(pid))
  t.match(log(), /"signal":"SIGQUIT","msg":"stopping"/)
  await a.mount()
  const second = await a.pid()
  process.kill(second, 'SIGXCPU')
  process.kill(second, 'SIGXCPU')
  await until('SIGXCPU ends it in order', () => !isRunning(second))
  t.match(log(), /"signal":"SIGXCPU","msg":"this node ends, since it has used up its processor time \(ulimit -t/)
  t.match(log(), /"signal":"SIGXCPU","msg":"stopping"/)
  t.notMatch(log(), /stopping by force/)
})

await t.test('a key that is gone is not made anew', async t => {
  const [, b] = cluster.machines as [Machine, Machine]
  await b.must('stop')
  const csp = join(b.home, 'csp')
  renameSync(csp, `${csp}.away`)
  const refused = await b.rkfs('mount', 'demo', b.directory)
  t.equal(refused.code, 4)
  t.match(refused.stderr, /node\.pem is missing, while this home has channels \(channels: demo\): put it back/)
  t.throws(() => readFileSync(join(csp, 'keystore', 'node.pem')), { code: 'ENOENT' })
  const gone = /node\.pem is missing, while this home has channels \(channels: demo\)/
  t.match((await b.rkfs('doctor')).stdout, new RegExp(`^fail  key: .*${gone.source} -> put it back`, 'm'))
  t.match((await b.rkfs('status')).stderr, /rkfs: demo: .*signcerts\/demo\.pem is missing/)
  for (const folder of ['signcerts', 'cacerts']) renameSync(join(`${csp}.away`, folder), join(csp, folder))
  const lost =
    /node\.pem is missing, while this home has certificates for it \(csp\/signcerts: demo\.pem\): put it back/
  t.match((await b.rkfs('status')).stderr, new RegExp(`rkfs: demo: .*${lost.source}`))
  const listed = await b.rkfs('channel', 'list')
  t.match(listed.stdout, /demo .* member +failed/)
  t.match(listed.stderr, lost)
  t.match((await b.rkfs('status', '--json')).stdout, lost)
})

await t.test('a key that is damaged, or open to others, is named by who looks, with the remedy', async t => {
  const [a, b] = cluster.machines as [Machine, Machine]
  const fails = async (machine: Machine): Promise<string> =>
    (await machine.rkfs('doctor')).stdout
      .split('\n')
      .filter(line => line.startsWith('fail  key'))
      .join('\n')
  const keystore = join(a.home, 'csp', 'keystore')
  const [key, authority] = [join(keystore, 'node.pem'), join(keystore, 'demo-ca.pem')]
  t.equal(await fails(a), '')
  const [sound, soundAuthority] = [readFileSync(key), readFileSync(authority)]
  await a.must('stop')
  for (const damaged of ['', 'nonsense']) {
    writeFileSync(key, damaged)
    t.match(await fails(a), /node\.pem is damaged: it is not a private key in PEM form -> put it back/)
    t.match((await a.rkfs('mount', 'demo', a.directory)).stderr, /node\.pem is damaged: .*: put it back/)
  }
  writeFileSync(key, readFileSync(join(`${b.home}/csp.away`, 'keystore', 'node.pem')))
  t.match(await fails(a), /node\.pem is not the key of \S+demo\.pem -> one of the two is another node's/)
  t.match((await a.rkfs('channel', 'list')).stderr, /demo: .*node\.pem is not the key of/)
  writeFileSync(key, sound)
  chmodSync(key, 0o640)
  t.match(await fails(a), `node.pem has mode 0640, not 0600 -> chmod 600 ${key}`)
  chmodSync(key, 0o600)
  writeFileSync(authority, '')
  t.match(await fails(a), /demo-ca\.pem is damaged: .* -> nobody can be invited, .*Put it back from a copy/)
  rmSync(authority)
  t.match(await fails(a), /demo-ca\.pem, the key of the channel's authority, is missing -> nobody can be invited/)
  t.match((await a.rkfs('status')).stderr, /rkfs: demo: .*demo-ca\.pem, the key of the channel's authority, is missing/)
  writeFileSync(authority, soundAuthority, { mode: 0o600 })
  t.equal(await fails(a), '')
})
