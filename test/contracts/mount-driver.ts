/** What every `MountDriver` must do, with the kernel and with programs in processes of their own. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { FuseNativeLimitId } from '../../src/adapters/fuse-native/driver-limits.js'
import { mountsAt } from '../../src/adapters/fuse/mountinfo.js'
import { canMount, isMounted, TestMount, until, withMount } from '../adapters/fuse/harness.js'

/** A driver as the test daemon (test/adapters/fuse/daemon.ts) knows it. */
export interface DriverUnderTest {
  /** The daemon's words for it. */
  readonly args: string[]
  /** What it is known not to do; all else must be as with the others. */
  readonly limits: readonly FuseNativeLimitId[]
}

const options = { skip: canMount ? false : 'needs root and /dev/fuse' }

const sharedMapping = `
m = mmap.mmap(f.fileno(), 10000); assert m[9999:10000] == b'a'
m[5000:5005] = b'hello'; m.flush(); m.close()
assert open('map', 'rb').read()[5000:5005] == b'hello'
`
const inodeFlags = `
assert fcntl.ioctl(g, 0x80086601, b'12345678')[:4] == bytes(4)
assert fcntl.ioctl(g, 0x80087601, b'12345678')[:4] == b'\\1\\0\\0\\0'
try: fcntl.ioctl(g, 0x40086602, b'\\x10' + bytes(7)); assert False
except OSError as e: assert e.errno == 95, e`

const temporaryFile = `
fd = os.open('.', os.O_TMPFILE | os.O_RDWR); os.write(fd, b'temporary')
assert os.pread(fd, 100, 0) == b'temporary' and os.fstat(fd).st_nlink == 0
`

export function mountDriverContract(name: string, driver: DriverUnderTest): void {
  t.setTimeout(240_000)
  const lacks = (limit: FuseNativeLimitId): boolean => driver.limits.includes(limit)
  const onMount = (body: (mount: TestMount) => Promise<void>): Promise<void> =>
    withMount(body, [...driver.args, 'suid', 'dev'])
  const onOthersMount = (body: (mount: TestMount) => Promise<void>): Promise<void> =>
    withMount(body, lacks('others') ? [...driver.args, 'allow_other'] : driver.args)

  void t.test(`${name}: who mounts hears of it before any program is answered`, options, async t => {
    const directory = mkdtempSync(join(tmpdir(), 'rkfs-mount-'))
    // in the kernel's hands from the first moment on
    const eager = spawn('timeout', ['20', '/bin/sh', '-c', 'while :; do stat "$0"/x; done', directory], {
      stdio: 'ignore',
    })
    const mount = new TestMount(directory, driver.args)
    try {
      await mount.line(/^mounted$/)
      t.match(await mount.line(/^started/), /^started [01]$/, 'INIT alone is answered')
    } finally {
      eager.kill()
      await mount.close()
    }
  })

  void t.test(`${name}: programs see an ordinary file system`, options, t =>
    onMount(async mount => {
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

  void t.test(`${name}: set-uid files and device nodes have no effect unless it is asked for`, options, async t => {
    const makes = 'cp /usr/bin/id id; chown 7:7 id; chmod 6755 id; mknod null c 1 3; chmod 666 null'
    const tries = './id -u; ./id -g; echo x 2>/dev/null >null && echo opened || echo refused'
    const cases: [args: string[], output: string][] = [
      [['suid'], '7\n7\nrefused\n'],
      [['dev'], '0\n0\nopened\n'],
    ]
    for (const [args, output] of cases) {
      await withMount(
        async mount => {
          const { stdout, stderr } = mount.shell(`${makes}; ${tries}`)
          t.equal(stdout, output, `${args[0]} ${stderr}`)
        },
        [...driver.args, ...args],
      )
    }
  })

  void t.test(`${name}: large files, listings, mappings, attributes, holes, copies`, options, t =>
    onMount(async mount => {
      const result = mount.shell(
        'head -c 20000000 /dev/urandom > /tmp/rkfs-random-$$; dd if=/tmp/rkfs-random-$$ of=big bs=1M 2>/dev/null;' +
          'cmp big /tmp/rkfs-random-$$; cp big big2; cmp big2 /tmp/rkfs-random-$$; rm /tmp/rkfs-random-$$; echo same',
      )
      t.equal(result.stdout, 'same\n', result.stderr)
      const script = `
os.mkdir('many')
for i in range(5000): os.close(os.open('many/file-%05d' % i, os.O_CREAT | os.O_WRONLY))
names = sorted(os.listdir('many')); assert len(names) == 5000 and names[4999] == 'file-04999', len(names)
assert len(list(os.scandir('many'))) == 5000
assert sum(os.lstat('many/' + n).st_size for n in names) == 0
f = open('map', 'wb+'); f.write(b'a' * 10000); f.flush()
p = mmap.mmap(f.fileno(), 10000, mmap.MAP_PRIVATE); assert p[9999:10000] == b'a'; p.close()
${lacks('shared-mapping') ? '' : sharedMapping}
os.setxattr('map', 'user.one', b'value' * 100); os.setxattr('map', 'user.two', b'')
assert os.getxattr('map', 'user.one') == b'value' * 100 and os.getxattr('map', 'user.two') == b''
assert sorted(os.listxattr('map')) == ['user.one', 'user.two'], os.listxattr('map')
os.removexattr('map', 'user.one')
try: os.getxattr('map', 'user.one'); assert False
except OSError as e: assert e.errno == 61, e
${lacks('tmpfile') ? '' : temporaryFile}
g = open('gone', 'wb+'); g.write(b'unlinked'); g.flush(); os.unlink('gone')
assert os.pread(g.fileno(), 100, 0) == b'unlinked' and os.fstat(g.fileno()).st_nlink == 0
os.pwrite(g.fileno(), b'U', 0); os.ftruncate(g.fileno(), 3); os.fchmod(g.fileno(), 0o600); os.fsync(g.fileno())
assert os.pread(g.fileno(), 100, 0) == b'Unl' and os.fstat(g.fileno()).st_mode & 0o777 == 0o600
assert not [n for n in os.listdir('.') if 'gone' in n or 'hidden' in n], os.listdir('.')
r = open('before', 'wb+'); r.write(b'renamed'); r.flush(); os.rename('before', 'after')
assert os.pread(r.fileno(), 100, 0) == b'renamed'
o = open('after', 'rb'); open('new', 'w').write('replaced'); os.rename('new', 'after')
assert o.read() == b'renamed' and open('after').read() == 'replaced'
e = os.open('log', os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND); os.write(e, b'1'); os.write(e, b'2')
assert open('log').read() == '12'
try: os.open('log', os.O_CREAT | os.O_EXCL); assert False
except OSError as e: assert e.errno == 17, e
os.symlink(b'\\xff' * 100, b'\\xff-link'); assert os.readlink(b'\\xff-link') == b'\\xff' * 100
open(b'\\xfe' * 255, 'w').close(); assert b'\\xfe' * 255 in os.listdir(b'.')
assert os.stat('after').st_ino != os.stat('log').st_ino
os.posix_fallocate(f.fileno(), 0, 20000); assert os.fstat(f.fileno()).st_size == 20000
assert os.lseek(f.fileno(), 0, os.SEEK_HOLE) == 20000
s = open('sparse', 'wb'); s.seek(1 << 33); s.close
os.truncate('sparse', 0)
open('cut', 'wb').write(b'x' * 100); g = open('cut', 'r+b'); os.ftruncate(g.fileno(), 10); assert os.stat('cut').st_size == 10
os.fsync(g.fileno()); os.fdatasync(g.fileno()); d = os.open('many', os.O_RDONLY); os.fsync(d); os.close(d)
os.link('cut', 'cut2'); assert os.stat('cut').st_nlink == 2
import fcntl
fcntl.flock(g, fcntl.LOCK_EX); fcntl.lockf(g, fcntl.LOCK_EX)
${lacks('inode-flags') ? '' : inodeFlags}
try: fcntl.ioctl(g, 0x12345601, b'12345678'); assert False
except OSError as e: assert e.errno == 25, e
print('fine')`
      const python = mount.python(script)
      t.equal(python.stdout, 'fine\n', python.stderr)
      if (!lacks('shared-mapping')) await mount.line(/^copied \d+/)
      t.match(await mount.command('counts', /^counts/), / 0$/)
      t.notOk(mount.lines.some(line => line.startsWith('log error')))
    }),
  )

  void t.test(`${name}: many clients at once`, options, t =>
    onMount(async mount => {
      const script =
        'for c in $(seq 20); do (mkdir c$c; cd c$c; for i in $(seq 30); do echo $i > f$i; mv f$i g$i; cat g$i > /dev/null; done;' +
        ' ls | wc -l; rm -r ../c$c) & done; wait; ls | wc -l'
      t.equal(mount.shell(script).stdout, '30\n'.repeat(20) + '0\n')
      t.match(await mount.command('counts', /^counts/), / 0$/)
    }),
  )

  void t.test(`${name}: unmount: busy is an error, force ends`, options, t =>
    onMount(async mount => {
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

  void t.test(`${name}: unmount by hand ends the daemon`, options, t =>
    onMount(async mount => {
      mount.shell('echo x > y; cd /; umount -i "$0"')
      await mount.line(/^ended$/)
      await until(() => mount.exited, 'the daemon ends by itself')
      t.notOk(isMounted(mount.directory))
    }),
  )

  /** Dead, and still there: no program writes into the directory below. */
  const isDead = (mount: TestMount): boolean => {
    const { status, stderr } = spawnSync('stat', ['-f', '--', mount.directory], { encoding: 'utf8', timeout: 10_000 })
    return isMounted(mount.directory) && status !== 0 && /not connected/.test(stderr)
  }

  void t.test(`${name}: kill -9 leaves a dead mount`, options, t =>
    onMount(async mount => {
      mount.child.kill('SIGKILL')
      await until(() => mount.exited && isDead(mount), 'it is dead')
      t.match(mount.shell('echo x > y').stderr, /not connected/)
    }),
  )

  void t.test(`${name}: kill -9 with a notification that waits for a call`, options, t =>
    onMount(async mount => {
      // a notification about this directory waits in the kernel for the call that is not answered
      mount.shell('mkdir slow')
      const caller = spawn('timeout', ['-k', '1', '20', 'mkdir', join(mount.directory, 'unanswered')])
      const ended = new Promise(resolve => caller.once('exit', resolve))
      await mount.line(/^unanswered$/)
      await mount.command('put beside x')
      mount.child.kill('SIGKILL')
      await ended
      t.equal(caller.signalCode, null)
      t.not(caller.exitCode, 124, 'the caller was told in time')
      await until(() => isDead(mount), 'it is dead')
    }),
  )

  void t.test(`${name}: an uncaught exception ends the daemon, and leaves a dead mount`, options, t =>
    onMount(async mount => {
      mount.child.stdin!.write('crash\n')
      await until(() => mount.exited && isDead(mount), 'the end')
      t.pass('dead')
    }),
  )

  void t.test(`${name}: an aborted connection leaves a dead mount`, options, t =>
    onMount(async mount => {
      const client = spawn('timeout', ['30', 'sleep', '30'], { cwd: mount.directory, stdio: 'ignore' })
      await until(() => client.pid !== undefined, 'the client')
      // umount(2): MNT_FORCE aborts the connection, and then finds that the mount is in use
      const forced = spawnSync('umount', ['-f', '-i', '-c', mount.directory], { encoding: 'utf8', timeout: 10_000 })
      t.match(forced.stderr, /busy/)
      await mount.line(/^ended$/)
      await until(() => mount.exited && isDead(mount), 'dead')
      client.kill()
    }),
  )

  void t.test(`${name}: a dead mount is replaced, a living one refused`, options, async t => {
    const first = new TestMount(undefined, driver.args)
    await first.line(/^mounted$/)
    const second = new TestMount(first.directory, driver.args)
    t.match(await second.line(/^error/), /^error busy rkfs-test \(fuse.rkfs\) is already mounted/)
    first.child.kill('SIGKILL')
    await until(() => first.exited && isDead(first), 'killed')
    // programs that try again and again: none may find the bare directory
    const writer = spawn(
      '/bin/sh',
      ['-c', 'i=0; while :; do i=$((i+1)); echo x > "$0/stray-$i"; done', first.directory],
      {
        stdio: 'ignore',
      },
    )
    await until(() => writer.pid !== undefined, 'the writer')
    const gone = new Promise(resolve => writer.once('exit', resolve))
    const third = new TestMount(first.directory, driver.args)
    await third.line(/^mounted$/)
    t.equal(third.shell('echo x > y; cat y').stdout, 'x\n')
    writer.kill('SIGKILL')
    // until it is gone it may have a file open: the mount is then in use
    await gone
    t.equal(mountsAt(first.directory).length, 1, 'the dead one is gone')
    t.equal(await third.command('unmount', /^(error|unmounted)/), 'unmounted')
    t.same(readdirSync(first.directory), [], 'nothing is in the bare directory')
    second.child.kill()
    await third.close()
  })

  void t.test(`${name}: mount points that cannot be`, options, async t => {
    const missing = new TestMount('/tmp/rkfs-no-such-directory', driver.args)
    t.match(await missing.line(/^error/), /^error not-found .*create the directory/)
    const file = new TestMount('/etc/passwd', driver.args)
    t.match(await file.line(/^error/), /^error failed .*not a directory/)
  })

  void t.test(`${name}: set-uid goes with a write by another user`, options, t =>
    onOthersMount(async mount => {
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
}
