/** Records that programs on several members append to one file: none is lost, none is torn, wherever a page ends. */
import t from 'tap'
import { clusterOf } from './support/cluster.js'

const cluster = clusterOf(t)
const machines = await cluster.members('a', 'b')
for (const machine of machines) await machine.mount()

/** One write(2) a record, of an odd length. Arguments: the writer's name, the count, more open flags. */
const append = `
name, count, more = sys.argv[2], int(sys.argv[3]), getattr(os, sys.argv[4])
fd = os.open('log', os.O_CREAT | os.O_APPEND | more, 0o644)
for i in range(count):
    record = ('%s %d ' % (name, i)).encode().ljust(699, b'.') + b'\\n'
    if os.write(fd, record) != len(record): print('short')
    if i % 10 == 0: os.fsync(fd)
os.close(fd); print('done')
`
const check = `
import collections
found = collections.Counter()
for line in open('log', 'rb').read().split(b'\\n')[:-1]:
    words = line.split()
    if len(line) != 699 or len(words) != 3: print('torn', len(line), line[:20])
    else: found[words[0], int(words[1])] += 1
print(len(found), set(found.values()))
`
const count = 300

for (const mode of ['O_WRONLY', 'O_RDWR']) {
  await t.test(mode, async t => {
    const writers = machines.flatMap(machine =>
      [1, 2].map(number =>
        machine.python(append, 60, machine.directory, `${machine.name}${number}`, String(count), mode),
      ),
    )
    for (const { stdout, stderr } of await Promise.all(writers)) t.equal(stdout, 'done\n', stderr)
    await cluster.same(machines)
    for (const machine of machines) {
      t.equal((await machine.python(check)).stdout, `${4 * count} {1}\n`, `as ${machine.name} sees it`)
    }
    await machines[0]!.shell('rm log')
  })
}
