import { readFileSync } from 'node:fs'
import t from 'tap'
import {
  describeLimit,
  fuseNativeLimits,
  type FuseNativeLimitId,
} from '../../../src/adapters/fuse-native/driver-limits.js'
import { canMount, withMount, type TestMount } from '../fuse/harness.js'

const options = { skip: canMount ? false : 'needs root and /dev/fuse' }

const prelude = `
import ctypes, errno, fcntl
libc = ctypes.CDLL(None, use_errno=True)
def call(function, *arguments):
    if function(*arguments) < 0: raise OSError(ctypes.get_errno(), 'call')
def told(function, *arguments):
    try: function(*arguments)
    except OSError as e: print(errno.errorcode[e.errno].replace('ENOTSUP', 'EOPNOTSUPP'))
    else: print('none')
`

/** For each limit a program that meets it: it prints the errno, or `none`, then that the rest is as the list says. */
const proofs: Record<FuseNativeLimitId, string> = {
  caller: `
os.chmod('.', 0o777)
if os.fork() == 0:
    os.setgid(1000); os.setuid(1000)
    told(lambda: os.close(os.open('f', os.O_CREAT | os.O_WRONLY, 0o4755)))
    sys.stdout.flush(); os._exit(0)
os.wait()
s = os.stat('f'); assert (s.st_uid, s.st_gid, s.st_mode & 0o7777) == (0, 0, 0o755), s
def clears(change): os.chmod('f', 0o6755); change(); assert os.stat('f').st_mode & 0o7777 == 0o755
clears(lambda: open('f', 'r+').write('x')); clears(lambda: open('f', 'w').close())
assert os.statvfs('.').f_flag & (os.ST_NOSUID | os.ST_NODEV) == os.ST_NOSUID | os.ST_NODEV`,
  acl: `
import struct
def entries(*list): return struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in list)
no = 2 ** 32 - 1
denying = entries((1, 6, no), (2, 0, 1000), (4, 4, no), (16, 4, no), (32, 4, no))
open('f', 'w').close(); os.chmod('f', 0o644); os.setxattr('f', 'system.posix_acl_access', denying)
assert os.getxattr('f', 'system.posix_acl_access') == denying
if os.fork() == 0:
    os.setgid(1000); os.setuid(1000); told(lambda: open('f').close()); sys.stdout.flush(); os._exit(0)
os.wait()`,
  others: `
path = os.getcwd(); os.chdir('/')
os.setgid(1000); os.setuid(1000); told(os.stat, path)`,
  'shared-mapping': `
f = open('f', 'wb+'); f.write(b'x' * 4096); f.flush()
told(mmap.mmap, f.fileno(), 4096, mmap.MAP_SHARED, mmap.PROT_READ)
assert mmap.mmap(f.fileno(), 4096, mmap.MAP_PRIVATE)[0] == 120`,
  fallocate: `
f = open('f', 'wb+'); told(call, libc.fallocate, f.fileno(), 0, ctypes.c_long(0), ctypes.c_long(4096))
os.posix_fallocate(f.fileno(), 0, 4096); assert os.fstat(f.fileno()).st_size == 4096`,
  holes: `
f = open('f', 'wb+'); f.truncate(1 << 20); told(os.lseek, f.fileno(), 0, os.SEEK_DATA)
assert os.lseek(f.fileno(), 0, os.SEEK_DATA) == 0 and os.lseek(f.fileno(), 0, os.SEEK_HOLE) == 1 << 20`,
  'rename-flags': `
open('a', 'w').close(); open('b', 'w').close()
for flags in 2, 4: told(call, libc.renameat2, -100, b'a', -100, b'b', flags)
told(call, libc.renameat2, -100, b'a', -100, b'c', 1)
os.rename('a', 'c')`,
  'inode-flags': `
f = open('f', 'w'); told(fcntl.ioctl, f, 0x80086601, b'12345678')`,
  tmpfile: `
told(os.open, '.', os.O_TMPFILE | os.O_RDWR)`,
  'one-time': `
open('f', 'w').close(); os.utime('f', (1, 2))
class Times(ctypes.Structure): _fields_ = [(n, ctypes.c_long) for n in ('a', 'an', 'm', 'mn')]
told(call, libc.utimensat, -100, b'f', ctypes.byref(Times(5, 0, 0, (1 << 30) - 2)), 0)
assert (os.stat('f').st_atime, os.stat('f').st_mtime) == (1, 2)
os.utime('f'); assert os.stat('f').st_mtime > 1e9`,
  nanoseconds: `
open('f', 'w').close(); told(lambda: os.utime('f', ns=(1_234_567_891, 2_345_678_912)))
s = os.stat('f'); assert (s.st_atime_ns, s.st_mtime_ns) == (1_234_000_000, 2_345_000_000), s`,
  'replace-open': `
open('f', 'w').write('old'); f = open('f'); open('g', 'w').write('new')
told(os.rename, 'g', 'f'); assert f.read() == 'old' and open('f').read() == 'new'`,
  'removed-directory': `
os.mkdir('d'); f = open('d/f', 'wb+'); f.write(b'x'); f.flush(); os.unlink('d/f')
assert os.pread(f.fileno(), 1, 0) == b'x'
d = os.open('d', os.O_RDONLY); os.rmdir('d')
told(os.pread, f.fileno(), 1, 0); told(os.fstat, d)`,
  'linked-names': `
open('f', 'w').close(); os.link('f', 'g'); f = open('f'); fcntl.flock(f, fcntl.LOCK_EX)
told(fcntl.flock, open('g'), fcntl.LOCK_EX | fcntl.LOCK_NB); again = open('f')
try: fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB); assert False
except BlockingIOError: pass
os.mkfifo('p'); os.link('p', 'q'); p = os.open('p', os.O_RDWR)
try: os.open('q', os.O_WRONLY | os.O_NONBLOCK); assert False
except OSError as e: assert e.errno == errno.ENXIO, e
os.write(os.open('p', os.O_WRONLY | os.O_NONBLOCK), b'x'); assert os.read(p, 1) == b'x'`,
  descriptor: `
f = open('put-before', 'rb+'); print('ready'); sys.stdout.flush()
while os.path.exists('put-before'): time.sleep(0.01)
told(os.fchmod, f.fileno(), 0o600); assert f.read() == b'data'
f.seek(0); f.write(b'DATA'); f.flush(); assert os.pread(f.fileno(), 10, 0) == b'DATA'`,
  interrupt: `
import signal
signal.signal(signal.SIGALRM, lambda *_: None); signal.setitimer(signal.ITIMER_REAL, 0.2)
began = time.monotonic(); told(os.stat, 'hang'); assert time.monotonic() - began > 2`,
  'listing-numbers': `
open('f', 'w').close(); told(os.listdir, '.')
assert [e.inode() for e in os.scandir('.')] == [2 ** 32 - 1] and os.stat('f').st_ino < 100`,
  'hidden-names': `
told(lambda: open('.fuse_hidden0123456789abcdef', 'w')); told(os.mkdir, '.fuse_hidden0123456789abcdef')
open('f', 'w').close(); os.mkdir('d'); told(os.rename, 'f', '.fuse_hidden0123456789abcdef')
f = open('f'); told(os.rename, 'f', 'd/.fuse_hidden0123456789abcdef')
os.rename('f', '.fuse_hidden0123'); os.rename('.fuse_hidden0123', '.fuse_hidden0123456789abcdef')
f.close(); assert os.listdir('.') == ['d']`,
  'link-target': `
told(os.symlink, b'\\xff' * 2048, b'l'); assert os.listdir('.') == []
os.symlink(b'\\xff' * 2047, b'l'); assert os.readlink(b'l') == b'\\xff' * 2047`,
  'xattr-name': `
open('f', 'w').close(); told(os.setxattr, 'f', b'user.\\xff', b'x')
os.setxattr('f', 'user.\\u00e9', b'x'); assert os.listxattr('f') == ['user.\\u00e9']`,
}

/** What else the mount needs, or is told, for a proof. */
const others: Partial<Record<FuseNativeLimitId, string[]>> = { caller: ['allow_other'], acl: ['allow_other'] }

for (const limit of fuseNativeLimits) {
  t.test(describeLimit(limit), options, t =>
    withMount(
      async mount => {
        const run = limit.id === 'descriptor' ? runWithDeletion(mount) : Promise.resolve(mount.python(script(limit.id)))
        const { stdout, stderr, status } = await run
        const told = stdout.trim().split('\n')
        t.equal(status, 0, stderr)
        t.same([...new Set(told.filter(line => line !== 'ready'))], [limit.errno], stderr)
      },
      ['fuse-native', ...(others[limit.id] ?? [])],
    ),
  )
}

t.test('native-deps.md has the same list', async t => {
  const text = readFileSync(new URL('../../../native-deps.md', import.meta.url), 'utf8')
  const rows = text.split('\n').map(line => line.split(' | ').map(cell => cell.replace(/^[| `]+|[| `]+$/g, '')))
  for (const { what, errno, instead } of fuseNativeLimits) {
    const row = rows.find(cells => cells[0] === what)
    t.same(row?.slice(1), [errno === 'none' ? 'no error' : errno, instead], what)
  }
})

function script(id: FuseNativeLimitId): string {
  return prelude + proofs[id]
}

/** Another member deletes the file that the program has open. */
async function runWithDeletion(mount: TestMount): Promise<{ stdout: string; stderr: string; status: number | null }> {
  await mount.command('put put-before data')
  const program = mount.pythonBeside(script('descriptor'))
  await program.line(/^ready$/)
  await mount.command('drop put-before')
  return program.end
}
