import { spawn, spawnSync } from 'node:child_process'
import t from 'tap'
import { canMount, isMounted, TestMount, until } from './harness.js'

const options = { skip: canMount ? false : 'needs root and /dev/fuse' }

/** Mounts, runs the body, leaves nothing behind. */
async function withMount(body: (mount: TestMount) => Promise<void>, args: string[] = []): Promise<void> {
  const mount = new TestMount(undefined, args)
  try {
    await mount.line(/^mounted$/)
    await body(mount)
  } finally {
    await mount.close()
  }
}

t.test('programs see an ordinary file system', options, t =>
  withMount(async mount => {
    const cases: [string, string, string][] = [
      ['create and read', 'echo one > a; echo two >> a; cat a', 'one\ntwo\n'],
      ['truncate on open', 'echo long text > b; echo x > b; cat b', 'x\n'],
      ['truncate', 'echo 12345 > c; truncate -s 3 c; cat c; truncate -s 5 c; stat -c %s c', '1235\n'],
      ['rename, replace', 'mkdir d; mv a d/e; cat d/e; echo z > z; mv z d/e; ls d; cat d/e', 'one\ntwo\ne\nz\n'],
      ['rename without replacing', 'echo 1 > n1; echo 2 > n2; mv -n n1 n2; cat n1 n2', '1\n2\n'],
      ['hard link', 'echo h > h1; ln h1 h2; stat -c %h h2; rm h1; cat h2', '2\nh\n'],
      ['symlink', 'ln -s d/e l; readlink l; cat l', 'd/e\nz\n'],
      ['fifo', 'mkfifo p; stat -c %F p; (echo through > p &); cat p', 'fifo\nthrough\n'],
      ['device node', 'mknod null1 c 1 3; echo gone > null1; stat -c %t,%T null1', '1,3\n'],
      ['times', 'touch -d 1969-12-31T23:59:58.25Z o; stat -c %.9Y o', '-1.750000000\n'],
      ['modes', 'install -m 4755 /bin/true s; stat -c %a s; chmod 640 s; stat -c %a s', '4755\n640\n'],
      ['owner', 'touch w; chown 12:34 w; stat -c %u:%g w', '12:34\n'],
      ['rmdir', 'mkdir r; touch r/f; rmdir r 2>&1 | grep -o "not empty"; rm -r r', 'not empty\n'],
      ['free space', 'stat -f -c "%S %b %a %l %T" .', '4096 1000000 400000 255 fuseblk\n'],
      ['odd names', `touch "$(printf 'x\\377 y')"; ls | grep -a ' y' | od -An -tx1`, ' 78 ff 20 79 0a\n'],
      ['missing', 'cat missing 2>&1 || true', 'cat: missing: No such file or directory\n'],
      ['a handler that throws', 'stat throw 2>&1 || true', "stat: cannot statx 'throw': Input/output error\n"],
    ]
    for (const [name, script, output] of cases) {
      const result = mount.shell(script)
      const shown = result.stdout.replace('UNKNOWN (0x65735546)', 'fuseblk')
      t.equal(shown.replace('fuse\n', 'fuseblk\n'), output, `${name} ${result.stderr}`)
    }
    await mount.line(/^log error a request failed .*as the test asked/)
    t.match(await mount.command('counts', /^counts/), /^counts \d+ 1$/)
  }),
)

t.test('large files, listings, mappings, attributes, holes, copies', options, t =>
  withMount(async mount => {
    const result = mount.shell(
      'head -c 20000000 /dev/urandom > /tmp/rkfs-random-$$; dd if=/tmp/rkfs-random-$$ of=big bs=1M 2>/dev/null;' +
        'cmp big /tmp/rkfs-random-$$; cp big big2; cmp big2 /tmp/rkfs-random-$$; rm /tmp/rkfs-random-$$; echo same',
    )
    t.equal(result.stdout, 'same\n', result.stderr)
    await mount.line(/^copied \d+/)
    const script = `
os.mkdir('many')
for i in range(5000): os.close(os.open('many/file-%05d' % i, os.O_CREAT | os.O_WRONLY))
names = sorted(os.listdir('many')); assert len(names) == 5000 and names[4999] == 'file-04999', len(names)
assert len(list(os.scandir('many'))) == 5000
assert sum(os.lstat('many/' + n).st_size for n in names) == 0
f = open('map', 'wb+'); f.write(b'a' * 10000); f.flush()
m = mmap.mmap(f.fileno(), 10000); assert m[9999:10000] == b'a'
m[5000:5005] = b'hello'; m.flush(); m.close()
assert open('map', 'rb').read()[5000:5005] == b'hello'
os.setxattr('map', 'user.one', b'value' * 100); os.setxattr('map', 'user.two', b'')
assert os.getxattr('map', 'user.one') == b'value' * 100 and os.getxattr('map', 'user.two') == b''
assert sorted(os.listxattr('map')) == ['user.one', 'user.two'], os.listxattr('map')
os.removexattr('map', 'user.one')
try: os.getxattr('map', 'user.one'); assert False
except OSError as e: assert e.errno == 61, e
fd = os.open('.', os.O_TMPFILE | os.O_RDWR); os.write(fd, b'temporary')
assert os.pread(fd, 100, 0) == b'temporary' and os.fstat(fd).st_nlink == 0
os.posix_fallocate(f.fileno(), 0, 20000); assert os.fstat(f.fileno()).st_size == 20000
assert os.lseek(f.fileno(), 0, os.SEEK_HOLE) == 20000
s = open('sparse', 'wb'); s.seek(1 << 33); s.close
os.truncate('sparse', 0)
open('cut', 'wb').write(b'x' * 100); g = open('cut', 'r+b'); os.ftruncate(g.fileno(), 10); assert os.stat('cut').st_size == 10
os.fsync(g.fileno()); os.fdatasync(g.fileno()); d = os.open('many', os.O_RDONLY); os.fsync(d); os.close(d)
os.link('cut', 'cut2'); assert os.stat('cut').st_nlink == 2
import fcntl
fcntl.flock(g, fcntl.LOCK_EX); fcntl.lockf(g, fcntl.LOCK_EX)
assert fcntl.ioctl(g, 0x80086601, b'12345678')[:4] == bytes(4)
assert fcntl.ioctl(g, 0x80087601, b'12345678')[:4] == b'\\1\\0\\0\\0'
try: fcntl.ioctl(g, 0x40086602, b'\\x10' + bytes(7)); assert False
except OSError as e: assert e.errno == 95, e
try: fcntl.ioctl(g, 0x12345601, b'12345678'); assert False
except OSError as e: assert e.errno == 25, e
print('fine')`
    const python = mount.python(script)
    t.equal(python.stdout, 'fine\n', python.stderr)
    t.match(await mount.command('counts', /^counts/), / 0$/)
    t.notOk(mount.lines.some(line => line.startsWith('log error')))
  }),
)

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

t.test('many clients at once', options, t =>
  withMount(async mount => {
    const script =
      'for c in $(seq 20); do (mkdir c$c; cd c$c; for i in $(seq 30); do echo $i > f$i; mv f$i g$i; cat g$i > /dev/null; done;' +
      ' ls | wc -l; rm -r ../c$c) & done; wait; ls | wc -l'
    t.equal(mount.shell(script).stdout, '30\n'.repeat(20) + '0\n')
    t.match(await mount.command('counts', /^counts/), / 0$/)
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

t.test('unmount: busy is an error, force ends', options, t =>
  withMount(async mount => {
    const client = spawn('timeout', ['30', 'sleep', '30'], { cwd: mount.directory, stdio: 'ignore' })
    await until(() => client.pid !== undefined, 'the client')
    const answer = await mount.command('unmount', /^(error|unmounted)/)
    t.match(answer, /^error busy .*in use.*force/)
    t.match(answer, mount.directory)
    t.ok(isMounted(mount.directory))
    t.equal(mount.shell('echo still > here; cat here').stdout, 'still\n')
    const started = Date.now()
    await mount.command('unmount force', /^unmounted/)
    t.notOk(isMounted(mount.directory))
    t.ok(Date.now() - started < 10_000, 'within the grace time and the abort')
    await until(() => mount.exited, 'the daemon ends by itself')
    client.kill()
  }),
)

t.test('unmount by hand ends the daemon', options, t =>
  withMount(async mount => {
    mount.shell('echo x > y; cd /; umount -i "$0"')
    await mount.line(/^ended$/)
    await until(() => mount.exited, 'the daemon ends by itself')
    t.notOk(isMounted(mount.directory))
  }),
)

t.test('kill -9 leaves no mount', options, t =>
  withMount(async mount => {
    mount.child.kill('SIGKILL')
    await until(() => !isMounted(mount.directory), 'the watchdog unmounts')
    t.pass('gone')
  }),
)

t.test('an uncaught exception ends the daemon and the mount', options, t =>
  withMount(async mount => {
    mount.child.stdin!.write('crash\n')
    await until(() => mount.exited && !isMounted(mount.directory), 'the end')
    t.pass('gone')
  }),
)

t.test('a dead mount is cleared, a living one refused', options, async t => {
  const first = new TestMount()
  await first.line(/^mounted$/)
  const second = new TestMount(first.directory)
  t.match(await second.line(/^error/), /^error busy rkfs-test \(fuse.rkfs\) is already mounted/)
  // The watchdog is stopped first, so that the dead mount stays.
  const children = spawnSync('pgrep', ['-P', String(first.child.pid), '-f', 'rkfs-watchdog'])
  process.kill(Number(String(children.stdout).trim()), 'SIGKILL')
  await first.line(/watchdog of the mount ended/)
  first.child.kill('SIGKILL')
  await until(() => first.exited, 'killed')
  t.ok(isMounted(first.directory), 'dead, and still there')
  const third = new TestMount(first.directory)
  await third.line(/^mounted$/)
  t.equal(third.shell('echo x > y; cat y').stdout, 'x\n')
  second.child.kill()
  await third.close()
})

t.test('mount points that cannot be', options, async t => {
  const missing = new TestMount('/tmp/rkfs-no-such-directory')
  t.match(await missing.line(/^error/), /^error not-found .*create the directory/)
  const file = new TestMount('/etc/passwd')
  t.match(await file.line(/^error/), /^error failed .*not a directory/)
})

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

t.test('set-uid goes with a write by another user', options, t =>
  withMount(async mount => {
    const script = `
open('s', 'w').close(); os.chown('s', 1000, 1000); os.chmod('s', 0o6777)
os.setgid(1001); os.setuid(1001)
with open('s', 'a') as f: f.write('x')
assert os.stat('s').st_mode & 0o7777 == 0o777, oct(os.stat('s').st_mode)
print('fine')`
    const python = mount.python(script)
    t.equal(python.stdout, 'fine\n', python.stderr)
  }),
)
