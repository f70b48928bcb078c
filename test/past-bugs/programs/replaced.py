"""Every call through a descriptor, and a mapping, of a file that was removed or replaced, here or by the other member."""
from common import *

for who, remover in (('own', A), ('other', B)):
    for how in ('rename', 'unlink'):
        open(A + '/f1', 'w').write('old' * 10)
        open(A + '/f2', 'w').write('new')
        until(lambda: os.path.exists(remover + '/f2') and os.path.exists(remover + '/f1'))
        fd = os.open(A + '/f1', os.O_RDWR)
        mapping = mmap.mmap(fd, 30)
        if how == 'rename':
            os.rename(remover + '/f2', remover + '/f1')
        else:
            os.unlink(remover + '/f1')
        until(lambda: os.fstat(fd).st_nlink == 0)

        def store():
            mapping[0:3] = b'mmm'
            mapping.flush()

        calls = {
            'fchmod': lambda: os.fchmod(fd, 0o600),
            'futimens': lambda: os.utime(fd, (1, 2)),
            'fchown': lambda: os.fchown(fd, 1, 1),
            'ftruncate': lambda: os.ftruncate(fd, 10),
            'pwrite': lambda: os.pwrite(fd, b'zz', 0),
            'fsync': lambda: os.fsync(fd),
            'fsetxattr': lambda: os.setxattr(fd, 'user.a', b'1'),
            'fgetxattr': lambda: check(os.getxattr(fd, 'user.a') == b'1', 'attribute'),
            'fallocate': lambda: os.posix_fallocate(fd, 0, 5000),
            'pread': lambda: check(os.pread(fd, 4, 0) == b'zzdo', 'content'),
            'fstat': lambda: check((os.fstat(fd).st_mode & 0o777, os.fstat(fd).st_size) == (0o600, 5000), 'attributes'),
            'msync': store,
            'pread of it': lambda: check(os.pread(fd, 4, 0) == b'mmmo', 'what was stored'),
            'flock': lambda: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB),
            'lockf': lambda: fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB),
            'copy_file_range': lambda: os.copy_file_range(fd, os.open(A + '/copy', os.O_CREAT | os.O_RDWR), 10, 0, 0),
        }
        for name, call in calls.items():
            try:
                call()
            except OSError as error:
                print(who, how, name, error)
        mapping.close()
        os.close(fd)
        for name in ('f1', 'f2', 'copy'):
            if os.path.exists(A + '/' + name):
                os.unlink(A + '/' + name)
        gone('f1', 'f2', 'copy')
