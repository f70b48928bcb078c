"""Hard links, and renames onto them; a directory onto a full one; a link to a file that is being written."""
from common import *

for here, there in ((A, A), (A, B), (B, A)):
    d, e = here + '/d', there + '/d'
    os.mkdir(d)
    until(lambda: os.path.isdir(e))
    open(d + '/one', 'w').close()
    os.link(d + '/one', d + '/link')
    os.unlink(d + '/link')
    open(d + '/two', 'w').close()
    os.link(d + '/one', d + '/link')
    until(lambda: os.path.exists(e + '/link') and os.path.exists(e + '/two'))
    os.rename(e + '/two', e + '/link')
    check(until(lambda: sorted(os.listdir(d)) == ['link', 'one'], 3), 'names', os.listdir(d))
    check(until(lambda: os.stat(d + '/one').st_nlink == 1, 3), 'links', os.stat(d + '/one').st_nlink)
    # onto another name of the same file: nothing is done
    os.link(e + '/one', e + '/same')
    os.rename(e + '/one', e + '/same')
    check(until(lambda: sorted(os.listdir(d)) == ['link', 'one', 'same'], 3), 'names', os.listdir(d))
    for name in ('from', 'to'):
        os.mkdir(d + '/' + name)
        open(d + '/' + name + '/' + name, 'w').write(name)
    until(lambda: os.path.exists(e + '/to/to'))
    try:
        os.rename(e + '/from', e + '/to')
        print('a full directory was replaced')
    except OSError as error:
        check(error.errno in (errno.ENOTEMPTY, errno.EEXIST), error)
    check(open(d + '/from/from').read() + open(e + '/to/to').read() == 'fromto', 'what was in them')
    fd = os.open(d + '/new', os.O_CREAT | os.O_WRONLY)
    os.write(fd, b'abc')
    os.link(d + '/new', d + '/kept')
    os.unlink(d + '/new')
    os.write(fd, b'def')
    os.close(fd)
    check(until(lambda: os.path.exists(e + '/kept') and open(e + '/kept').read() == 'abcdef', 3), 'a linked file')
    shutil.rmtree(here + '/d') if here == there else until(lambda: not shutil.rmtree(d, True) and not os.path.exists(d))
    gone('d')
