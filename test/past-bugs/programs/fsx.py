"""What fsx does, through the mounts of two members in turn: writes, appends, truncations, mappings, holes, zeros, copies."""
from common import *

seed = random.randrange(1 << 30)
draw = random.Random(seed)
libc = ctypes.CDLL(None, use_errno=True)
room = 600_000
good = bytearray()
log = []


def place(longest=200_000):
    length = draw.choice((1 + draw.randrange(100), 4096, 1 + draw.randrange(5000), 1 + draw.randrange(longest)))
    return draw.randrange(room - length), length


def within():
    offset, length = place()
    offset = offset % len(good) if good else 0
    return offset, min(length, len(good) - offset)


def put(offset, data):
    if offset > len(good):
        good.extend(bytes(offset - len(good)))
    good[offset:offset + len(data)] = data


def fallocate(fd, mode, offset, length):
    if libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)) != 0:
        raise OSError(ctypes.get_errno(), 'fallocate')


def write(path, fd):
    offset, length = place()
    data = bytes([draw.randrange(1, 256)]) * length
    os.pwrite(fd, data, offset)
    put(offset, data)


def append(path, fd):
    data = bytes([draw.randrange(1, 256)]) * draw.choice((1, 100, 4096, 5000))
    if len(good) + len(data) > room:
        return
    with open(path, 'ab', buffering=0) as file:
        file.write(data)
    good.extend(data)


def truncate(path, fd):
    size = draw.randrange(room)
    os.truncate(path, size) if draw.random() < 0.5 else os.ftruncate(fd, size)
    del good[size:]
    put(size, b'')


def store(path, fd):
    offset, length = within()
    if length < 1:
        return
    data = bytes([draw.randrange(1, 256)]) * length
    with mmap.mmap(fd, len(good)) as mapping:
        check(mapping[:] == good, 'seed', seed, 'a mapping differs after', log[-5:])
        mapping[offset:offset + length] = data
        mapping.flush()
    put(offset, data)


def punch(path, fd):
    offset, length = within()
    if length > 0:
        fallocate(fd, 3, offset, length)
        put(offset, bytes(length))


def zero(path, fd):
    offset, length = place()
    fallocate(fd, 16, offset, length)
    put(offset, bytes(length))


def copy(path, fd):
    offset, length = within()
    target = draw.randrange(room - length)
    if length < 1 or (target < offset + length and offset < target + length):
        return
    check(os.copy_file_range(fd, fd, length, offset, target) == length, 'a short copy')
    put(target, bytes(good[offset:offset + length]))


paths = (A + '/file', B + '/file')
open(paths[0], 'w').close()
until(lambda: os.path.exists(paths[1]))
files = [os.open(path, os.O_RDWR) for path in paths]
at = 0
for _ in range(160):
    if draw.random() < 0.5:
        os.fsync(files[at])
        at = 1 - at
    same = lambda: os.fstat(files[at]).st_size == len(good) and os.pread(files[at], room, 0) == good
    if not until(same, 5):
        print('seed', seed, 'the file differs on', 'AB'[at], 'after', log[-5:])
        break
    change = draw.choice((write, append, truncate, store, store, punch, zero, copy))
    log.append('AB'[at] + ' ' + change.__name__)
    change(paths[at], files[at])
