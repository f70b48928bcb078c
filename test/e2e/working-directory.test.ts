/** A process stays in the directory that it made, whatever other members do meanwhile: getcwd(3) has its name. */
import t from 'tap'
import { clusterOf } from './support/cluster.js'

const cluster = clusterOf(t)
const machines = await cluster.members('a', 'b')
for (const machine of machines) await machine.mount()

/** Arguments: the maker's name, the count. Asks for a while: the change is applied some time after it was answered. */
const stay = `
top, name, count = os.getcwd(), sys.argv[2], int(sys.argv[3])
lost = 0
for i in range(count):
    path = '%s/%s-%d' % (top, name, i)
    os.mkdir(path); os.chdir(path)
    for _ in range(10):
        try: os.getcwd()
        except FileNotFoundError: lost += 1; break
        time.sleep(0.001)
    os.chdir(top)
print(lost)
`
const write = `
fd = os.open('file-' + sys.argv[2], os.O_CREAT | os.O_WRONLY, 0o644)
for i in range(int(sys.argv[3])): os.pwrite(fd, b'x' * 100, i * 100)
os.close(fd); print('done')
`

await t.test('two members make directories, and write', async t => {
  const [x, y, ...writers] = await Promise.all([
    ...machines.map(machine => machine.python(stay, 60, machine.directory, machine.name, '80')),
    ...machines.map(machine => machine.python(write, 60, machine.directory, machine.name, '800')),
  ])
  t.equal(x!.stdout, '0\n', x!.stderr)
  t.equal(y!.stdout, '0\n', y!.stderr)
  for (const { stdout, stderr } of writers) t.equal(stdout, 'done\n', stderr)
})
