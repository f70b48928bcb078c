import { spawn } from 'node:child_process'
import t from 'tap'
import { canMount, until, withMount } from './harness.js'

const options = { skip: canMount ? false : 'needs root and /dev/fuse' }

t.test('locks reach the handler when asked for', options, t =>
  withMount(
    async mount => {
      const script = `
import fcntl
g = open('f', 'w'); fcntl.flock(g, fcntl.LOCK_EX); fcntl.lockf(g, fcntl.LOCK_SH | fcntl.LOCK_NB) if False else fcntl.lockf(g, fcntl.LOCK_EX)`
      t.equal(mount.python(script).status, 0)
      await mount.line(/^lock write flock true$/)
      await mount.line(/^lock write fcntl true$/)
    },
    ['locks'],
  ),
)

t.test('a signal reaches the handler of a request that hangs', options, t =>
  withMount(async mount => {
    const waiting = spawn('timeout', ['-s', 'INT', '-k', '15', '1', 'stat', `${mount.directory}/hang-2`], {
      stdio: 'ignore',
    })
    const exit = new Promise(resolve => waiting.on('exit', resolve))
    await mount.line(/^hanging hang-2$/)
    await mount.line(/^interrupted hang-2$/)
    t.equal(await exit, 124, 'timeout(1) ended it')
    t.equal(mount.shell('echo x > y; cat y').stdout, 'x\n')
  }),
)

/** What reaches a process with a thread that waits in a call. */
const fatal = {
  'a default action': `os.kill(pid, signal.SIGTERM)`,
  'a core dump': `os.kill(pid, signal.SIGQUIT)`,
  SIGKILL: `os.kill(pid, signal.SIGKILL)`,
  'a fatal signal behind handled ones': `
for _ in range(20): os.kill(pid, signal.SIGUSR1); time.sleep(0.05)
os.kill(pid, signal.SIGTERM)`,
}
t.test('who dies of a signal is let go', options, t =>
  withMount(async mount => {
    let number = 0
    for (const [what, send] of Object.entries(fatal)) {
      for (const where of ['the only thread', 'a second thread']) {
        const name = `hang-${++number}`
        const python = mount.pythonBeside(`
import resource, signal, threading
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
pid = os.fork()
if pid == 0:
  signal.signal(signal.SIGUSR1, lambda *_: None); signal.siginterrupt(signal.SIGUSR1, True)
  if '${where}' == 'the only thread': os.stat('${name}')
  threading.Thread(target=lambda: os.stat('${name}')).start()
  while True: time.sleep(0.1)
time.sleep(0.5)
${send}
at = time.monotonic(); os.waitpid(pid, 0); print('gone', time.monotonic() - at < 3)`)
        await mount.line(new RegExp(`^hanging ${name}$`))
        await mount.line(new RegExp(`^interrupted ${name}$`))
        t.equal((await python.end).stdout, 'gone True\n', `${what}, ${where}`)
      }
    }
  }),
)

t.test('a signal that is handled ends no call, however long it takes', options, t =>
  withMount(async mount => {
    const python = mount.pythonBeside(`
import ctypes, errno, signal, threading
libc = ctypes.CDLL(None, use_errno=True)
for number in (signal.SIGALRM, signal.SIGUSR1, signal.SIGCHLD):
  signal.signal(number, lambda *_: None); signal.siginterrupt(number, number != signal.SIGALRM)
signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
def other():
  for _ in range(20): os.kill(os.getpid(), signal.SIGUSR1); time.sleep(0.1)
  if os.fork() == 0: os._exit(0)
threading.Thread(target=other).start()
at = time.monotonic()
result = libc.access(b'slow-answer', 0)
print(errno.errorcode[ctypes.get_errno()], time.monotonic() - at > 2.5)`)
    t.equal((await python.end).stdout, 'ENOENT True\n')
    t.notOk(mount.lines.some(line => line.startsWith('interrupted')))
  }),
)

t.test('a notification that waits for a hanging request stops nobody', options, t =>
  withMount(async mount => {
    t.equal(mount.shell('mkdir d; echo x > d/f; cat d/f').stdout, 'x\n')
    const waiting = spawn('timeout', ['-k', '15', '20', 'stat', `${mount.directory}/hang`], { stdio: 'ignore' })
    await mount.line(/^hanging hang$/)
    // INVAL_ENTRY takes the lock of the directory that the lookup holds.
    for (let i = 0; i < 100; i++) await mount.command(`put new${i} data`)
    t.equal(mount.shell('cat d/f; echo y > d/g; cat d/g').stdout, 'x\ny\n')
    waiting.kill('SIGTERM')
    await mount.line(/^interrupted hang$/)
    await until(() => mount.shell('cat new99 2>/dev/null').stdout === 'data', 'the notification went through')
  }),
)

t.test('changes from elsewhere show at once', options, t =>
  withMount(async mount => {
    t.equal(mount.shell('ls; cat news 2>/dev/null || echo none').stdout, 'none\n')
    await mount.command('silent news silently')
    t.equal(mount.shell('cat news 2>/dev/null || echo none').stdout, 'none\n', 'the name is cached as missing')
    await mount.command('put news first')
    await until(() => mount.shell('cat news 2>/dev/null').stdout === 'first', 'the new name')
    t.equal(mount.shell('ls').stdout, 'news\n', 'the cached listing is dropped')
    await mount.command('change news second, and longer')
    await until(() => mount.shell('cat news').stdout === 'second, and longer', 'the new data')
    t.equal(mount.shell('stat -c %s news').stdout, '18\n')
    await mount.command('drop news')
    await until(() => mount.shell('cat news 2>/dev/null || echo none').stdout === 'none\n', 'the name is gone')
    await mount.command('silent news again')
    t.equal(mount.shell('cat news 2>/dev/null || echo none').stdout, 'none\n')
    await mount.command('all')
    await until(() => mount.shell('cat news 2>/dev/null').stdout === 'again', 'all names are looked up again')
  }),
)

t.test('what an open file holds is dropped with all else', options, t =>
  withMount(async mount => {
    await mount.command('silent page old')
    const reader = mount.pythonBeside(`
fd = os.open('page', os.O_RDONLY)
print(os.pread(fd, 3, 0).decode(), flush=True)
end = time.time() + 20
while os.pread(fd, 3, 0) != b'new':
  if time.time() > end: sys.exit(1)
  time.sleep(0.01)
`)
    await reader.line(/^old$/)
    await mount.command('silent page new')
    t.equal(mount.shell('cat page').stdout, 'old', 'the kernel has its pages')
    await mount.command('all')
    t.equal((await reader.end).status, 0)
  }),
)

t.test('a notification right behind the answer is not lost', options, t =>
  withMount(async mount => {
    for (let i = 0; i < 10; i++) await mount.command(`silent race${i} old`)
    for (let i = 0; i < 10; i++) {
      const stat = spawn('timeout', ['5', 'stat', `${mount.directory}/race${i}`], { stdio: 'ignore' })
      const exit = new Promise(resolve => stat.on('exit', resolve))
      await mount.command(`change race${i} newer`)
      await exit
      await until(() => mount.shell(`stat -c %s race${i}`).stdout === '5\n', `race${i}`)
    }
    t.pass('all fresh')
  }),
)

t.test('a close that the handler does not need to hear of', options, t =>
  withMount(
    async mount => {
      const counts = async (): Promise<number> => Number((await mount.command('counts', /^counts/)).split(' ')[1])
      mount.shell('echo x > y; cat y')
      const before = await counts()
      t.equal(mount.shell('for i in 1 2 3 4 5 6 7 8 9; do cat y > /dev/null; done; cat y').stdout, 'x\n')
      // OPEN and RELEASE each time, the data from the cache, and some calls for the directory.
      t.ok((await counts()) - before < 28, 'no FLUSH')
    },
    ['noflush'],
  ),
)

t.test('a supplementary group of the caller reaches the handler', options, t =>
  withMount(async mount => {
    const script = `
os.chown('.', 0, 77); os.chmod('.', 0o2775)
os.setgroups([5, 77]); os.setgid(1000); os.setuid(1000)
open('group', 'w').close()
assert os.stat('group').st_uid == 1000
print('fine')`
    const python = mount.python(script)
    t.equal(python.stdout, 'fine\n', python.stderr)
    await mount.line(/^group 77$/)
  }),
)
