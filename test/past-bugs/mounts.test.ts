/** What went wrong between other systems and the kernel: caches, replaced files, the end of a mount. Real members and mounts. */
import t from 'tap'
import { clusterOf, isMounted, until, type Machine } from '../e2e/support/cluster.js'

const cluster = clusterOf(t)

const [a, b] = (await cluster.members('a', 'b')) as [Machine, Machine]
for (const machine of [a, b]) await machine.mount()

/** Well below the time that the kernel may keep what it is not told to forget (10 s). */
const soonSeconds = 4

async function output(machine: Machine, script: string): Promise<string> {
  const { code, stdout, stderr, timedOut } = await machine.shell(script)
  if (code !== 0 || timedOut) throw new Error(`${machine.name}: ${script}: ${stdout}${stderr}`)
  return stdout.trim()
}

/** A command on `b` shows something soon, and keeps showing it. */
async function shows(script: string, wanted: string): Promise<void> {
  let seen = ''
  await until(
    `b shows ${JSON.stringify(wanted)}`,
    async () => (seen = (await b.shell(script)).stdout.trim()) === wanted,
    soonSeconds,
  ).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${JSON.stringify(seen)}`)
  })
  t.equal(await output(b, script), wanted, script)
}

/**
 * Attributes stayed in the cache of the other client's kernel: it read a file up to the size that it had seen before, showed
 * a link count of before, or the listing of a directory whose time did not change.
 */
await t.test(
  'juicedata/juicefs#6323, #3761, #6681, seaweedfs/seaweedfs#9062, alperakcan/fuse-ext2#97: nothing cached outlives a change',
  async t => {
    await output(a, 'mkdir d; echo one > d/f; ln d/f d/g; ln d/f d/h')
    await shows('ls d; cat d/f; stat -c "%h %s" d/g', 'f\ng\nh\none\n3 4')
    await output(a, 'echo two >> d/f')
    await shows('cat d/g; stat -c "%h %s" d/h', 'one\ntwo\n3 8')
    await output(a, 'rm d/f')
    await shows('ls d; stat -c "%h %s" d/h', 'g\nh\n2 8')
    await output(a, 'chmod 600 d/g; ln d/g d/i; rm d/h')
    await shows('ls d; stat -c "%h %a" d/i', 'g\ni\n2 600')
    // one and the same time, before and after
    await output(a, 'touch -d 2020-01-01 d; touch d/j; touch -d 2020-01-01 d')
    await shows('ls d', 'g\ni\nj')
    t.end()
  },
)

/** What was missing once was missing for ever, or until a time was up: mkdir said EEXIST, and stat ENOENT. */
await t.test(
  'ydb-platform/nbs#579, libfuse/libfuse#48: a name that was missing is found when another makes it',
  async t => {
    const script = `
try: os.stat('made'); print('too early'); sys.exit()
except FileNotFoundError: pass
print('missing', flush=True)
open('asked', 'w').close()
end = time.monotonic() + ${soonSeconds}
while time.monotonic() < end:
    try: os.mkdir('probe')
    except FileExistsError: os.stat('probe'); break
    else: os.rmdir('probe'); time.sleep(0.01)
while not os.path.exists('made'):
    assert time.monotonic() < end
print('found')`
    const reading = b.python(script)
    await output(a, 'while [ ! -e asked ]; do sleep 0.05; done; touch made; until mkdir probe 2>/dev/null; do :; done')
    const { stdout, stderr } = await reading
    t.equal(stdout, 'missing\nfound\n', stderr)
    // removed and made again, in turn, by both
    for (let i = 0; i < 5; i++) {
      await output(a, `rm made; echo ${i} > made`)
      await shows('cat made 2>/dev/null || echo none', String(i))
      await output(b, 'rm made')
      await until(
        'it is gone',
        async () => (await output(a, 'ls made 2>/dev/null || echo none')) === 'none',
        soonSeconds,
      )
      await output(a, 'touch made')
      await shows('ls made 2>/dev/null || echo none', 'made')
    }
    t.end()
  },
)

/** A reader polls a file that another client replaces by rename: it must never be missing, empty or mixed. */
await t.test(
  'ydb-platform/nbs#7151, seaweedfs/seaweedfs#2561: a file replaced by rename(2) is always there, and whole',
  async t => {
    const readScript = `
print('ready', flush=True)
seen = set(); reads = 0
end = time.monotonic() + 20
while time.monotonic() < end:
    try:
        with open('value') as f: text = f.read()
        size = os.stat('value').st_size
    except OSError as error: print('failed', error); break
    reads += 1
    lines = set(text.split())
    if len(text) < 4000 or len(lines) != 1 or size < 4000: print('torn', len(text), lines, size); break
    seen |= lines
    if '59' in lines: print('fine' if reads > 10 and len(seen) > 3 else (reads, len(seen))); break`
    // as editors save: a new file, written, closed, and renamed over the old one, with no fsync
    const writeScript = `
for i in range(60):
    with open('.draft', 'w') as f: f.write('%d\\n' % i * (2000 + i % 3 * 50000))
    os.replace('.draft', 'value')`
    await output(a, 'for i in {1..3000}; do echo start; done > value')
    await shows('head -1 value', 'start')
    const reading = b.python(readScript)
    const writing = await a.python(writeScript)
    t.equal(writing.code, 0, writing.stderr)
    const { stdout, stderr } = await reading
    t.equal(stdout, 'ready\nfine\n', stderr)
    t.end()
  },
)

/** The page that held the end of the file was kept: reads on the same descriptor ended where the file had ended before. */
await t.test(
  'CurvineIO/curvine#852, macfuse/macfuse#237: a file that grows or shrinks shows zeros, bytes and end rightly',
  async t => {
    const { code, stderr } = await a.python(`
f = os.open('grown', os.O_RDWR | os.O_CREAT)
os.pwrite(f, b'a' * 100, 0)
assert os.pread(f, 100, 0) == b'a' * 100
os.pwrite(f, b'b' * 100, 5000)
assert os.fstat(f).st_size == 5100
assert os.pread(f, 9999, 0) == b'a' * 100 + bytes(4900) + b'b' * 100
import mmap
m = mmap.mmap(f, 5100)
assert m[5000] == 98
os.ftruncate(f, 50)
os.ftruncate(f, 5100)
assert os.pread(f, 9999, 0) == b'a' * 50 + bytes(5050)
assert m[5000] == 0 and m[60] == 0`)
    t.equal(code, 0, stderr)
    const sum = (machine: Machine) => output(machine, 'sha256sum < grown')
    await shows('sha256sum < grown', await sum(a))
    // the other member has its pages, and is told of ranges
    await output(a, 'printf 0123456789 > ranges')
    await shows('cat ranges', '0123456789')
    await output(a, 'printf ABCDE >> ranges')
    await shows('cat ranges', '0123456789ABCDE')
    await output(a, 'truncate -s 4 ranges; truncate -s 12 ranges')
    await shows('tr "\\\\0" . < ranges', '0123........')
    t.end()
  },
)

/**
 * Telling the kernel that a file of an open handle was removed elsewhere waits for locks which a request in flight holds;
 * told from where requests are answered, neither ever ends, and the mount hangs.
 */
await t.test(
  'huggingface/hf-mount#156, #195, commontoolsinc/labs#4811: removals by another while files are in use hang nothing',
  async t => {
    const { code } = await a.python("os.mkdir('busy')\nfor i in range(60): open('busy/%d' % i, 'w').write('x' * 5000)")
    t.equal(code, 0)
    await shows('ls busy | wc -l', '60')
    const using = b.python(`
import mmap, threading
files = [os.open('busy/%d' % i, os.O_RDWR) for i in range(60)]
maps = [mmap.mmap(f, 5000) for f in files]
stop = False
def work(part):
    while not stop:
        for f, m in list(zip(files, maps))[part::4]:
            # a write that came too late for a file is told as EIO
            try: os.pwrite(f, b'y', 0); os.pread(f, 100, 0)
            except OSError as error: assert error.errno == errno.EIO, error
            m[100] = 122; os.fstat(f)
        try: os.listdir('busy'); os.stat('busy/%d' % part); open('busy/mine%d' % part, 'w').close()
        except OSError: pass
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for t in threads: t.start()
open('busy/ready', 'w').close()
end = time.monotonic() + 15
while any(os.fstat(f).st_nlink for f in files) and time.monotonic() < end: time.sleep(0.05)
stop = True
for t in threads: t.join()
print(sum(os.fstat(f).st_nlink for f in files))`)
    const removing = await a.python(`
while not os.path.exists('busy/ready'): time.sleep(0.05)
for i in range(60): os.unlink('busy/%d' % i)`)
    t.equal(removing.code, 0, removing.stderr)
    const { stdout, stderr, timedOut } = await using
    t.equal(stdout, '0\n', stderr)
    t.notOk(timedOut)
    t.equal(await output(b, 'echo alive > alive; cat alive'), 'alive')
    t.end()
  },
)

/** Files were in a cache to be uploaded later; who unmounted before lost them, and no command told or waited. */
await t.test('rclone/rclone#7309, #4293: what was written right before the unmount is there', async t => {
  for (const [i, machine] of [a, b].entries()) {
    const { code, stderr } = await machine.python(`
for i in range(40):
    with open('last%d-%d' % (${i}, i), 'wb') as f: f.write(b'%d ' % i * 20000)
f = open('left-open${i}', 'w'); f.write('never closed by its program'); f.flush(); os._exit(0)`)
    t.equal(code, 0, stderr)
    await machine.must('umount', machine.directory)
    t.notOk(isMounted(machine.directory))
    // and its node is gone as well: nothing can follow later
    await machine.kill('SIGKILL')
    await machine.mount()
    await cluster.agree([a, b])
    await cluster.same([a, b])
    for (const one of [a, b]) {
      t.equal(
        await output(one, `cat last${i}-* | wc -c`),
        String(20_000 * (10 * 2 + 30 * 3)),
        `${one.name} has all of ${machine.name}`,
      )
      t.equal(await output(one, `cat left-open${i}`), 'never closed by its program')
    }
  }
  t.end()
})
