"""copy_file_range(2) and sendfile(2) from, and into, files with dirty pages of mappings, which the other maps, too."""
from common import *

for here, there in ((A, B), (B, A)):
    open(here + '/from', 'wb').write(b's' * 20000)
    open(here + '/to', 'wb').write(b'd' * 20000)
    until(lambda: os.path.exists(there + '/to') and os.path.getsize(there + '/to') == 20000)
    source, target = os.open(here + '/from', os.O_RDWR), os.open(here + '/to', os.O_RDWR)
    other = os.open(there + '/to', os.O_RDWR)
    read, written, seen = mmap.mmap(source, 20000), mmap.mmap(target, 20000), mmap.mmap(other, 20000)
    seen[5], seen[10000], written[0]
    for i in range(15):
        tag = b'%05d' % i
        read[5000:5005] = tag
        written[10010:10015] = tag
        check(os.copy_file_range(source, target, 100, 4950, 9900) == 100, 'short')
        check(os.pread(target, 5, 9950) == tag == bytes(written[9950:9955]), 'the copy')
        check(os.pread(target, 5, 10010) == tag == bytes(written[10010:10015]), 'what was stored beside it')
        written.flush()
        same = lambda: os.pread(other, 5, 9950) == os.pread(other, 5, 10010) == tag == bytes(seen[9950:9955])
        check(until(same, 3), 'the other does not see', i)
    os.copy_file_range(source, target, 300, 100, 30000)
    check(os.fstat(target).st_size == 30300 and os.pread(target, 10, 25000) == bytes(10), 'beyond the end')
    check(until(lambda: os.fstat(other).st_size == 30300, 3), 'the other sees another end')
    sent = os.open(here + '/sent', os.O_CREAT | os.O_RDWR)
    read[0:4] = b'SEND'
    check(os.sendfile(sent, source, 0, 20000) == 20000 and os.pread(sent, 4, 0) == b'SEND', 'sendfile')
    os.close(sent)
    equal = lambda: open(there + '/sent', 'rb').read() == open(here + '/from', 'rb').read()
    check(until(lambda: os.path.exists(there + '/sent') and equal(), 3), 'the other sees another file')
    for name in ('from', 'to', 'sent'):
        os.unlink(here + '/' + name)
    gone('from', 'to', 'sent')
