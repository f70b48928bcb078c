"""SEEK_DATA and SEEK_HOLE, holes that another makes under a mapping, and all of it beyond 4 GiB."""
from common import *

libc = ctypes.CDLL(None, use_errno=True)


def fallocate(fd, mode, offset, length):
    check(libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)) == 0, 'fallocate', mode)


def runs(fd):
    found, at = [], 0
    while True:
        try:
            data = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            check(error.errno == errno.ENXIO, error)
            return found
        at = os.lseek(fd, data, os.SEEK_HOLE)
        found.append((data, at))


end = 5 << 30
for here, there in ((A, B), (B, A)):
    f = os.open(here + '/holes', os.O_CREAT | os.O_RDWR)
    os.ftruncate(f, end + 10000)
    os.pwrite(f, b'x' * 5000, end)
    os.pwrite(f, b'y' * 100, (4 << 30) - 50)
    os.fsync(f)
    until(lambda: os.path.exists(there + '/holes') and os.path.getsize(there + '/holes') == end + 10000)
    g = os.open(there + '/holes', os.O_RDWR)
    check(runs(f) == runs(g) and len(runs(f)) == 2, 'data is at', runs(f), runs(g))
    check(os.pread(g, 100, (4 << 30) - 50) == b'y' * 100, 'across 4 GiB')
    for at in (end + 10000, end + 20000):
        for whence in (os.SEEK_DATA, os.SEEK_HOLE):
            try:
                print('found', os.lseek(f, at, whence), 'beyond the end')
            except OSError as error:
                check(error.errno == errno.ENXIO, error)
    mapping = mmap.mmap(f, 4096, offset=end)
    mapping[0:4] = b'MMAP'
    fallocate(g, 3, end + 100, 200)
    check(until(lambda: os.pread(f, 4, end + 100) == bytes(4), 3), 'a hole is not seen')
    mapping.flush()
    check(os.pread(g, 4, end + 100) == bytes(4), 'a hole is undone')
    fallocate(f, 16, end - 100, 200)
    check(until(lambda: os.pread(g, 100, end) == bytes(100) and bytes(mapping[0:4]) == bytes(4), 3), 'zeros are not seen')
    check(until(lambda: runs(f) == runs(g), 3), 'data is at', runs(f), runs(g))
    subprocess.run(['cp', '--sparse=always', here + '/holes', here + '/copy'], check=True)
    check(os.stat(here + '/copy').st_blocks < 100, 'the copy has no holes')
    check(os.pread(os.open(here + '/copy', os.O_RDONLY), 5000, end) == os.pread(f, 5000, end), 'the copy')
    for name in ('holes', 'copy'):
        os.unlink(here + '/' + name)
    gone('holes', 'copy')
