/** Python, run inside a mount: makes a tree with everything that a member can make. The second argument names it. */
export const makeTree = `
import random
me = sys.argv[2]
r = random.Random(me)
os.mkdir(me); os.chdir(me)
def put(name, data):
    with open(name, 'wb') as f: f.write(data)
for size in (0, 1, 4095, 4097, 262144, 300001, 1500000):
    put('file-%d' % size, r.randbytes(size))
os.makedirs('deep/er/and/deeper')
put('deep/er/and/deeper/x', b'x')
put('moved-from', b'moved'); os.rename('moved-from', 'deep/moved')
put('replaced', b'old'); put('fresh', b'new'); os.replace('fresh', 'replaced')
put('gone', b'gone'); os.unlink('gone'); os.mkdir('gone-too'); os.rmdir('gone-too')
os.symlink('deep/er', 'link'); os.symlink('/no/where', 'dangling'); os.symlink(b'\\xff\\xfe', 'bytes-link')
os.link('file-4097', 'deep/hard')
put(b'bytes \\xff\\xfe\\x80 name', b'bytes'); put('umlaut \\u00e4 \\u732b', b'utf8'); put('new\\nline', b'n'); put('n' * 255, b'long')
os.setxattr('file-1', 'user.color', b'green\\0\\xff'); os.setxattr('deep', 'user.big', r.randbytes(3000))
os.setxattr('file-0', 'user.gone', b'1'); os.removexattr('file-0', 'user.gone')
os.chmod('file-0', 0o640); os.chmod('deep', 0o2751); os.chown('file-1', 1234, 4321)
os.mkfifo('fifo'); os.chmod('fifo', 0o600)
with open('holes', 'wb') as f:
    f.seek(700000); f.write(b'end'); f.truncate(900000)
with open('cut', 'wb') as f:
    f.write(r.randbytes(600000)); f.truncate(1000); f.seek(200); f.write(b'over')
with open('log', 'ab') as f:
    for i in range(50): f.write(b'line %d\\n' % i); f.flush()
os.utime('file-1', ns=(1111111111123456789, 1234567890987654321))
os.utime('link', ns=(5, 7), follow_symlinks=False)
os.utime('deep/er', ns=(1000000000000000001, 1000000000000000002))
`

/** Prints, for every name, all that a program can see of it; a line each, sorted. */
export const describeTree = `
def walk(path):
    s = os.lstat(path)
    row = [path.hex(), oct(s.st_mode), s.st_nlink, s.st_uid, s.st_gid, s.st_mtime_ns, s.st_ctime_ns, s.st_ino]
    row += [[n, os.getxattr(path, n, follow_symlinks=False).hex()] for n in sorted(os.listxattr(path, follow_symlinks=False))]
    if stat.S_ISLNK(s.st_mode): row.append(os.readlink(path).hex())
    if stat.S_ISREG(s.st_mode):
        row += [s.st_size, hashlib.sha256(open(path, 'rb').read()).hexdigest()]
    print(json.dumps(row))
    if stat.S_ISDIR(s.st_mode):
        for name in sorted(os.listdir(path)): walk(path + b'/' + name)
walk(b'.')
`
