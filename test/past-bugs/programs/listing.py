"""What is removed while a large directory is read: the listing skipped what it had not told yet."""
from common import *

count = 130
for reader, remover in ((A, A), (A, B)):
    os.mkdir(A + '/big')
    for i in range(count):
        open(A + '/big/n%04d' % i, 'w').close()
    check(until(lambda: len(os.listdir(reader + '/big')) == len(os.listdir(remover + '/big')) == count), 'not all there')
    told = []
    for entry in os.scandir(reader + '/big'):
        told.append(entry.name)
        try:
            os.unlink(remover + '/big/' + entry.name)
        except FileNotFoundError:
            pass
        if len(told) % 40 == 0:
            open(remover + '/big/z%d' % len(told), 'w').close()
    check(len([name for name in told if name[0] == 'n']) == count, 'skipped', count - len(told))
    check(len(told) == len(set(told)), 'told twice')
    for name in os.listdir(remover + '/big'):
        os.unlink(remover + '/big/' + name)
    os.rmdir(remover + '/big')
    gone('big')
