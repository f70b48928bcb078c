/**
 * What programs find on a local file system and must find here (ext4's answers). Python, run inside a mount as root; each
 * line `check(what, found, wanted)` that fails is printed.
 */
export const localChecks = `
import ctypes, errno, mmap, os, socket, stat, struct, subprocess, sys, time
os.chdir(sys.argv[1]); os.mkdir('local'); os.chdir('local'); os.umask(0o022)
libc = ctypes.CDLL('libc.so.6', use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
AT = -100
def must(result):
    if result < 0: raise OSError(ctypes.get_errno(), 'call')
    return result
def e(call, *args, **named):
    try: return call(*args, **named)
    except OSError as error: return errno.errorcode[error.errno]
failed = 0
def check(what, found, wanted):
    global failed
    if found != wanted: failed += 1; print(what, 'found', found, 'wanted', wanted)
def make(name, data=b'', mode=0o644):
    fd = os.open(name, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600); os.write(fd, data); os.fchmod(fd, mode); os.close(fd)
def mode(name): return oct(os.lstat(name).st_mode & 0o7777)
def as_user(call, uid=1234, gid=1234, groups=()):
    r, w = os.pipe(); pid = os.fork()
    if pid == 0:
        os.setgroups(list(groups)); os.setgid(gid); os.setuid(uid)
        os.write(w, repr(e(call)).encode()); os._exit(0)
    os.close(w); found = os.read(r, 4096).decode(); os.close(r); os.waitpid(pid, 0)
    return eval(found)
def allocate(fd, how, offset, length): return must(libc.fallocate(fd, how, offset, length))
def rename2(a, b, flags): return must(libc.renameat2(AT, a.encode(), AT, b.encode(), flags))
def name_of(fd, name): return must(libc.linkat(AT, b'/proc/self/fd/%d' % fd, AT, name.encode(), 0x400))

# fallocate(2), st_blocks, lseek(2)
fd = os.open('a', os.O_CREAT | os.O_RDWR)
allocate(fd, 0, 0, 1 << 20); check('allocate', (os.fstat(fd).st_size, os.fstat(fd).st_blocks), (1 << 20, 2048))
allocate(fd, 1, 1 << 20, 1 << 20); check('keep size', (os.fstat(fd).st_size, os.fstat(fd).st_blocks), (1 << 20, 4096))
os.pwrite(fd, b'x' * 65536, 0); check('written over', os.fstat(fd).st_blocks, 4096)
allocate(fd, 3, 0, 1 << 19); check('punch', (os.fstat(fd).st_blocks, os.pread(fd, 2, 0)), (3072, b'\\0\\0'))
check('collapse', e(allocate, fd, 8, 0, 4096), 'ENOTSUP'); check('no length', e(allocate, fd, 0, 0, 0), 'EINVAL')
os.ftruncate(fd, 0); check('given back', os.fstat(fd).st_blocks, 0)
os.pwrite(fd, b'b' * 4096, 3 << 20); os.ftruncate(fd, 5 << 20)
check('seek', [e(os.lseek, fd, o, w) for w in (3, 4) for o in (0, 3 << 20, 4 << 20)], [3 << 20, 3 << 20, 'ENXIO', 0, (3 << 20) + 4096, 4 << 20])
check('far', [os.pwrite(fd, b'far', (1 << 43) + 1), os.pread(fd, 3, (1 << 43) + 1)], [3, b'far'])
check('too far', [e(os.pwrite, fd, b'x', 1 << 62), e(os.ftruncate, fd, 1 << 62)], ['EFBIG', 'EFBIG'])
os.ftruncate(fd, 0)

# copy_file_range(2)
data = bytes(range(256)) * 4096; make('s', data); s = os.open('s', os.O_RDWR); d = os.open('d', os.O_CREAT | os.O_RDWR)
check('copy', [os.copy_file_range(s, d, 1 << 21, 0, 0), os.copy_file_range(s, d, 100, 5, 1000003)], [1 << 20, 100])
os.pwrite(s, b'Z' * 1000, 0)
check('copied', os.pread(d, 1 << 21, 0), data[:1000003] + data[5:105] + data[1000103:])
check('overlap', e(os.copy_file_range, s, s, 100, 0, 50), 'EINVAL')
os.unlink('s'); check('without a name', (os.copy_file_range(s, d, 3, 0, 0), os.pread(d, 4, 0)), (3, b'ZZZ' + data[3:4]))

# renameat2(2)
make('r1', b'1'); make('r2', b'2')
check('noreplace', [e(rename2, 'r1', 'r2', 1), e(rename2, 'r1', 'r3', 1)], ['EEXIST', 0])
check('exchange', [e(rename2, 'r3', 'r2', 2), open('r3').read(), open('r2').read(), e(rename2, 'r3', 'no', 2)], [0, '2', '1', 'ENOENT'])

# O_TMPFILE
fd = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o640); os.write(fd, b'temp' * 100000); os.ftruncate(fd, 500000); os.setxattr(fd, 'user.t', b'v')
check('nameless', (os.fstat(fd).st_nlink, os.fstat(fd).st_size), (0, 500000))
name_of(fd, 't'); check('named', (open('t', 'rb').read() == b'temp' * 100000 + bytes(100000), mode('t'), os.stat('t').st_nlink, os.getxattr('t', 'user.t')), (True, '0o640', 1, b'v'))
check('again', (e(name_of, fd, 't'), e(name_of, fd, 't2'), os.fstat(fd).st_nlink), ('EEXIST', 0, 2))

# O_DIRECT, shared mappings, special files
fd = os.open('o', os.O_CREAT | os.O_RDWR | os.O_DIRECT); m = mmap.mmap(-1, 8192); m[:] = b'd' * 8192; m2 = mmap.mmap(-1, 8192)
check('direct', (os.pwrite(fd, m, 0), os.preadv(fd, [m2], 0), m2[:] == m[:], open('o', 'rb').read() == m[:]), (8192, 8192, True, True))
fd = os.open('m', os.O_CREAT | os.O_RDWR); os.ftruncate(fd, 10000); m = mmap.mmap(fd, 10000); m[5000:5004] = b'abcd'; m.flush()
check('mapping', os.pread(fd, 4, 5000), b'abcd')
os.mkfifo('p'); os.mknod('c', 0o020600, os.makedev(1, 3)); u = socket.socket(socket.AF_UNIX); u.bind('u'); u.listen(); socket.socket(socket.AF_UNIX).connect('u')
f = os.open('p', os.O_RDWR); os.unlink('p'); check('open fifo without a name', os.fstat(f).st_nlink, 0)
check('names', [e(os.mkdir, b'n' * 255), e(os.stat, b'n' * 256), e(os.mkdir, b'n' * 256)], [None, 'ENAMETOOLONG', 'ENAMETOOLONG'])

# set-uid, set-gid, owners
def bits(before, call, user=True):
    make('b', b'abc'); os.chown('b', 1234, 1234); os.chmod('b', before)
    as_user(call, 77, 77) if user else call()
    return mode('b')
def write():
    fd = os.open('b', os.O_WRONLY); os.write(fd, b'x'); os.close(fd)
check('write', [bits(0o6777, write), bits(0o6777, write, False), bits(0o6767, write)], ['0o777', '0o6777', '0o767'])
check('truncate', [bits(0o6777, lambda: os.truncate('b', 1)), bits(0o6777, lambda: os.truncate('b', 1), False)], ['0o777', '0o6777'])
check('chown', [bits(0o6777, lambda: os.chown('b', 5, 5), False), bits(0o6767, lambda: os.chown('b', -1, -1), False)], ['0o777', '0o2767'])
os.chown('b', 1234, 999)
check('chmod', [as_user(lambda: (os.chmod('b', 0o2755), mode('b'))[1]), as_user(lambda: (os.chmod('b', 0o2755), mode('b'))[1], groups=(999,))], ['0o755', '0o2755'])
os.mkdir('g'); os.chown('g', 0, 5555); os.chmod('g', 0o2777); as_user(lambda: (os.mkdir('g/d'), make('g/f'))); check('set-gid directory', (mode('g/d'), os.stat('g/f').st_gid), ('0o2755', 5555))
cap = struct.pack('<IIIII', 0x02000001, 1 << 10, 0, 0, 0); os.chmod('b', 0o755); os.setxattr('b', 'security.capability', cap); write(); check('capability', os.listxattr('b'), [])

# times
def touched(name, call, to=None):
    t = lambda n: (lambda s: (s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns))(os.lstat(n))
    before = t(name); time.sleep(0.012); call(); return ''.join(c if x != y else '-' for c, x, y in zip('amc', before, t(to or name)))
os.mkdir('w'); make('w/f', b'text')
read = lambda: open('w/f', 'rb').read()
def quietly():
    fd = os.open('w/f', os.O_RDONLY | os.O_NOATIME); os.read(fd, 9); os.close(fd)
check('read', [touched('w/f', quietly), touched('w/f', read), touched('w/f', read), touched('w', lambda: os.listdir('w')), touched('w', lambda: os.listdir('w'))], ['---', 'a--', '---', 'a--', '---'])
check('names', [touched('w', lambda: make('w/g')), touched('w/g', lambda: os.link('w/g', 'w/h')), touched('w/g', lambda: os.rename('w/g', 'w/i'), 'w/i'), touched('w/i', lambda: os.unlink('w/h')), touched('w', lambda: os.unlink('w/i'))], ['-mc', '--c', '--c', '--c', '-mc'])
check('content', [touched('w/f', lambda: os.chmod('w/f', 0o600)), touched('w/f', lambda: os.setxattr('w/f', 'user.a', b'')), touched('w/f', lambda: os.truncate('w/f', 2)), touched('w/f', lambda: open('w/f', 'ab').write(b'x'))], ['--c', '--c', '-mc', '-mc'])
os.utime('w/f', ns=(123456789012345678, -5)); check('utime', (os.stat('w/f').st_atime_ns, os.stat('w/f').st_mtime_ns), (123456789012345678, -5))

# ACLs
ACCESS, DEFAULT = 'system.posix_acl_access', 'system.posix_acl_default'
def acl(*entries): return struct.pack('<I', 2) + b''.join(struct.pack('<HHI', t, p, i & 0xffffffff) for t, p, i in entries)
named = acl((1, 7, -1), (2, 6, 1234), (4, 4, -1), (16, 6, -1), (32, 0, -1))
make('l', b'secret'); os.chmod('l', 0o600); look = lambda: open('l').read()
check('no ACL', as_user(look), 'EACCES'); os.setxattr('l', ACCESS, named)
check('ACL', (as_user(look), as_user(look, 99, 99), mode('l')), ('secret', 'EACCES', '0o760'))
os.chmod('l', 0o700); check('masked', as_user(look), 'EACCES')
os.setxattr('l', ACCESS, acl((1, 6, -1), (4, 4, -1), (32, 4, -1))); check('minimal', (mode('l'), e(os.getxattr, 'l', ACCESS)), ('0o644', 'ENODATA'))
os.mkdir('D'); os.setxattr('D', DEFAULT, acl((1, 7, -1), (2, 6, 1234), (4, 5, -1), (16, 7, -1), (32, 0, -1))); os.umask(0o077)
os.close(os.open('D/f', os.O_CREAT, 0o666)); os.mkdir('D/d', 0o755); os.close(os.open('plain', os.O_CREAT, 0o666)); os.umask(0o022)
check('inherited', (mode('D/f'), mode('D/d'), len(os.listxattr('D/d')), mode('plain')), ('0o660', '0o750', 2, '0o600'))

# extended attributes
check('namespaces', [e(os.setxattr, 'b', n, b'v') for n in ('user.a', 'trusted.a', 'security.a', 'nope.a', 'system.a', 'user.')], [None, None, None, 'ENOTSUP', 'ENOTSUP', 'EINVAL'])
check('flags', [e(os.setxattr, 'b', 'user.a', b'', 1), e(os.setxattr, 'b', 'user.z', b'', 2)], ['EEXIST', 'ENODATA'])
check('trusted', as_user(lambda: (sorted(os.listxattr('b')), e(os.getxattr, 'b', 'trusted.a'))), (['security.a', 'user.a'], 'ENODATA'))

# without a name
fd = os.open('n', os.O_CREAT | os.O_RDWR); os.write(fd, b'x' * 100); os.unlink('n'); os.ftruncate(fd, 1 << 20); os.fchmod(fd, 0o640); os.setxattr(fd, 'user.a', b'1')
check('open', (os.fstat(fd).st_nlink, os.lseek(fd, 0, 4) >= 100, os.getxattr(fd, 'user.a'), oct(os.fstat(fd).st_mode), e(name_of, fd, 'back')), (0, True, b'1', '0o100640', 'ENOENT'))
os.mkdir('R'); r = os.open('R', os.O_RDONLY); os.rmdir('R'); check('directory', (os.fstat(r).st_nlink, e(os.listdir, r)), (0, []))
p = (make('P'), os.open('P', os.O_PATH))[1]; os.unlink('P'); check('O_PATH', os.fstat(p).st_nlink, 0)

# a listing that goes on
os.mkdir('L')
for i in range(500): os.close(os.open('L/%04d' % i, os.O_CREAT))
seen = 0
with os.scandir('L') as entries:
    for entry in entries: os.unlink(entry.path); seen += 1
check('listed while it is emptied', (seen, os.listdir("L")), (500, []))
os.chdir('..'); subprocess.run(['rm', '-rf', 'local'])
print('failed', failed)
`
