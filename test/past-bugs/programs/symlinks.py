"""A symbolic link is replaced again and again, and read without a pause by others: what it said before stayed for ever."""
from common import *

os.symlink('v000000', A + '/link')
until(lambda: os.path.lexists(B + '/link'))
stop = False
seen = [0]


def reader():
    last = -1
    while not stop:
        target = int(os.readlink(B + '/link')[1:])
        check(target >= last, 'back to', target, 'from', last)
        last = seen[0] = target
        check(os.lstat(B + '/link').st_size == 7, 'size')


threads = [threading.Thread(target=reader) for _ in range(2)]
for thread in threads:
    thread.start()
for i in range(1, 120):
    os.symlink('v%06d' % i, A + '/new')
    os.rename(A + '/new', A + '/link')
    if i % 20 == 0:
        check(until(lambda: seen[0] >= i, 3), 'stays at', seen[0], 'not', i)
check(until(lambda: seen[0] == 119, 3), 'ends at', seen[0])
stop = True
for thread in threads:
    thread.join()
