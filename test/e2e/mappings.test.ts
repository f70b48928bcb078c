/** Shared mappings and attributes while another member changes the file, from the leader to a follower and back. */
import t from 'tap'
import { clusterOf, type Machine } from './support/cluster.js'

const cluster = clusterOf(t)
const [a, b] = (await cluster.members('a', 'b')) as [Machine, Machine]
for (const machine of [a, b]) await machine.mount()

const common = `
import ctypes, mmap, threading, time
A, B = sys.argv[1:3]
def until(f, s=20):
    end = time.time() + s
    while time.time() < end and not f(): time.sleep(.005)
    return f()
def made(name, data):
    with open(A + name, 'wb') as f: f.write(data)
    assert until(lambda: os.path.exists(B + name) and open(B + name, 'rb').read() == data)
    return os.open(A + name, os.O_RDWR), os.open(B + name, os.O_RDWR)
`

/** What the programs print is what is right; each begins with `common`. */
const programs: Readonly<Record<string, readonly [string, string]>> = {
  'what another wrote beside it stays (mmap(2))': [
    `
fa, fb = made('/beside', b'.' * 8192)
m, bad = mmap.mmap(fa, 8192), 0
for i in range(20):
    m[0:4] = b'%04d' % i
    os.pwrite(fb, b'B%03d' % i, 2000); os.fsync(fb)
    m[4090:4098] = b'A%07d' % i
    m.flush()
    if i % 3 == 0: time.sleep(.05)
    want = (b'%04d' % i, b'B%03d' % i, b'A%07d' % i)
    for f in (fa, fb):
        if not until(lambda: (os.pread(f, 4, 0), os.pread(f, 4, 2000), os.pread(f, 8, 4090)) == want, 5): bad += 1
print('lost', bad)
`,
    'lost 0\n',
  ],
  'a truncation is not undone': [
    `
bad = 0
for i in range(5):
    fa, fb = made('/cut-%d' % i, b'SECRET--' * 1024)
    m = mmap.mmap(fa, 8192)
    m[0:4] = b'dirt'
    os.truncate(B + '/cut-%d' % i, 3 * (i % 2))
    assert until(lambda: os.fstat(fa).st_size == 3 * (i % 2))
    m.flush()
    time.sleep(.1)
    if os.stat(B + '/cut-%d' % i).st_size != 3 * (i % 2): bad += 1
print('undone', bad)
`,
    'undone 0\n',
  ],
  'a mapping sees a file grow, without a stat of it': [
    `
fa, fb = made('/grown', b'a' * 100)
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
p = libc.mmap(None, ctypes.c_size_t(1 << 20), 1, 1, fa, ctypes.c_long(0))
def look(at):
    pid = os.fork()
    if pid == 0: os._exit(ctypes.string_at(p + at, 1)[0])
    status = os.waitpid(pid, 0)[1]
    return chr(status >> 8) if status & 127 == 0 else status & 127
seen = []
for i, at in enumerate((50, 5000, 9000, 300000)):
    os.pwrite(fb, b'bcde'[i:i + 1] * 100, at); os.fsync(fb)
    until(lambda: look(at + 99) == 'bcde'[i], 5)
    seen.append(look(at + 99))
print(*seen)
`,
    'b c d e\n',
  ],
  'no time and no size is newer than what is read': [
    `
fa, fb = made('/stamp', b'%08d' % 0 + b'.' * 4088)
log, tail = made('/log', b'')
times, seen, stop = {0: os.fstat(fa).st_mtime_ns}, [], False
zeros = 0
def writer():
    i = 0
    while not stop:
        i += 1
        os.pwrite(fa, b'%08d' % i, 0); times[i] = os.fstat(fa).st_mtime_ns
        os.pwrite(log, b'line %d of many\\n' % i, os.fstat(log).st_size)
        time.sleep(.003)
def reader(stat):
    while not stop:
        m = stat().st_mtime_ns
        seen.append((m, int(os.pread(fb, 8, 0))))
def follower():
    global zeros
    at = 0
    while not stop:
        size = os.fstat(tail).st_size
        if size > at:
            got = os.pread(tail, size - at, at)
            zeros += got.count(b'\\0'); at += len(got)
        time.sleep(.002)
threads = [threading.Thread(target=x, args=y) for x, y in
    ((writer, ()), (follower, ()), (reader, (lambda: os.stat(B + '/stamp'),)), (reader, (lambda: os.fstat(fb),)),
     (reader, (lambda: [e.stat() for e in os.scandir(B) if e.name == 'stamp'][0],)))]
for thread in threads: thread.start()
time.sleep(8); stop = True
for thread in threads: thread.join()
old = sum(times[c] < m for m, c in seen)
print('old', old, 'zeros', zeros, len(set(c for _, c in seen)) > 20)
`,
    'old 0 zeros 0 True\n',
  ],
}

for (const [from, to] of [
  [a, b],
  [b, a],
] as const) {
  for (const [what, [program, right]] of Object.entries(programs)) {
    await t.test(`${what}: ${from.name} and ${to.name}`, async t => {
      const { stdout, stderr } = await from.python(common + program, 60, from.directory, to.directory)
      t.equal(stdout, right, stderr)
      await from.shell('rm -f beside cut-* grown stamp log')
      await cluster.same([a, b])
    })
  }
}
