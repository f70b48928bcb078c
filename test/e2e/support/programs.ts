/** Programs for the tests of robustness: Python, run in a mount (`Machine.python`). Each prints what is wrong, then `done`. */

/** A process that does `work(…)` and says how it failed. */
const starting = `
import ctypes, signal
def start(work, *args):
    pid = os.fork()
    if pid: return pid
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # none outlives this program
    try: work(*args)
    except BaseException as error: print(prefix, *args, type(error).__name__, error, flush=True)
    os._exit(0)
`

/**
 * `count` processes in one directory at once, each with a model of its own files, all with one file that is replaced.
 * Arguments: a prefix, the count, the rounds of each.
 */
export const mixedPrograms = `
import random
prefix, count, rounds = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
${starting}os.makedirs('mixed', exist_ok=True); os.chdir('mixed')
def whole(data):
    fd = os.open(data, os.O_RDONLY)
    try:
        parts = []
        while part := os.read(fd, 1 << 17): parts.append(part)
        return b''.join(parts)
    finally: os.close(fd)
def work(me):
    rng = random.Random(me * 7919); mine = '%s%d-' % (prefix, me); model = {}; made = 0
    def wrong(*what): print(mine, *what, flush=True)
    for round in range(rounds):
        what = rng.randrange(8); names = list(model)
        if what < 2 or not names:
            name = mine + str(made); made += 1
            data = bytes([rng.randrange(256)]) * rng.choice([0, 10, 4096, 70000])
            fd = os.open(name + '.new', os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            if os.write(fd, data) != len(data): wrong('short write')
            os.close(fd); os.rename(name + '.new', name); model[name] = data
        elif what == 2:
            name = rng.choice(names); fd = os.open(name, os.O_WRONLY | os.O_APPEND)
            more = b'+' * rng.randrange(3000); os.write(fd, more); os.close(fd); model[name] += more
        elif what == 3:
            name = rng.choice(names); found = whole(name)
            if found != model[name]: wrong(name, 'has', len(found), 'of', len(model[name]))
        elif what == 4:
            name = rng.choice(names); other = rng.choice(names); os.rename(name, other)
            if name != other: model[other] = model.pop(name)
        elif what == 5:
            name = rng.choice(names); os.unlink(name); del model[name]
            if os.path.exists(name): wrong(name, 'is still there')
        elif what == 6:
            found = {n for n in os.listdir('.') if n.startswith(mine)}
            if found != set(model): wrong('listing', sorted(found ^ set(model)))
        else:
            fd = os.open(mine + 'shared', os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
            os.write(fd, b'%07d\\n' % me * 500); os.close(fd); os.rename(mine + 'shared', 'shared')
            found = whole('shared')
            if len(found) != 4000 or found != found[:8] * 500: wrong('shared is torn', len(found), found[:20])
    for name, data in model.items():
        if whole(name) != data: wrong(name, 'at the end')
        if os.stat(name).st_size != len(data): wrong(name, 'size')
        os.unlink(name)
children = [start(work, me) for me in range(count)]
for pid in children: os.waitpid(pid, 0)
left = [n for n in os.listdir('.') if n.startswith(prefix)]
if left: print('left', left[:5])
print('done')
`

/**
 * Processes that work while a signal reaches them every millisecond, by raw calls: half of them with SA_RESTART. No call
 * fails. Arguments: a prefix, the count, the seconds.
 */
export const signalStorm = `
prefix, count, seconds = sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
${starting}libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    at = time.monotonic(); result = getattr(libc, name)(*args); took = time.monotonic() - at
    if result >= 0: return result
    error = ctypes.get_errno()
    raise OSError(error, '%s after %.3f s: %s' % (name, took, errno.errorcode[error]))
def work(me):
    restart = me % 2 == 0
    for number in (signal.SIGALRM, signal.SIGUSR1):
        signal.signal(number, lambda *_: None); signal.siginterrupt(number, not restart)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    end = time.monotonic() + seconds; i = files = 0
    while time.monotonic() < end:
        i += 1; name = b'%s%d-%d' % (prefix.encode(), me, i % 5); want = b''
        fd = call('open', name + b'.new', os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o644)
        for size in (17, 5000, 300000):
            data = bytes([65 + i % 26]) * size
            n = call('write', fd, data, ctypes.c_size_t(size)); want += data[:n]
        if i % 3 == 0: call('fsync', fd)
        if os.fstat(fd).st_size != len(want): print(name, 'wrote', len(want), 'size', os.fstat(fd).st_size)
        call('close', fd); call('rename', name + b'.new', name)
        call('mkdir', name + b'.d', 0o755); call('rmdir', name + b'.d')
        call('symlink', b'x', name + b'.l'); call('unlink', name + b'.l')
        found = open(name, 'rb').read()
        if found != want: print(name, 'has', len(found), 'of', len(want))
        files += 1
        if i % 5 == 4: call('unlink', name)
    signal.setitimer(signal.ITIMER_REAL, 0, 0)
    if files < 3: print(me, 'made only', files, 'files')
left = {start(work, me) for me in range(count)}
while left:
    for pid in list(left):
        if os.waitpid(pid, os.WNOHANG)[0]: left.discard(pid)
        else: os.kill(pid, signal.SIGUSR1)
    time.sleep(0.001)
print('done')
`

/**
 * Clients that are killed at any moment, a few at a time; one other program checks its own work all the while. Arguments:
 * a prefix, how many are killed.
 */
export const killedClients = `
import random
prefix, kills = sys.argv[2], int(sys.argv[3])
${starting}def client(me):
    i = 0
    while True:
        i += 1; name = '%s%d-%d' % (prefix, me, i)
        fd = os.open(name, os.O_CREAT | os.O_RDWR); os.write(fd, b'k' * 20000)
        kept = os.open(name, os.O_RDONLY)
        if i % 3 == 0: os.fsync(fd)
        if i % 2: os.rename(name, name + '.r'); name += '.r'
        os.unlink(name); os.write(fd, b'nameless' * 1000); os.pread(kept, 100, 0); os.listdir('.')
        os.mkdir(name + '.d'); os.rmdir(name + '.d')
        if i % 4: os.close(fd); os.close(kept)
def bystander():
    i = 0
    while True:
        i += 1; data = b'%d\\n' % i * 300
        with open(prefix + 'other.new', 'wb') as f: f.write(data)
        os.rename(prefix + 'other.new', prefix + 'other')
        if open(prefix + 'other', 'rb').read() != data: print('the other program reads something else', flush=True)
rng = random.Random(1); other = start(bystander); killed = 0; slowest = 0
while killed < kills:
    group = [start(client, killed + k) for k in range(10)]
    for pid in group:
        time.sleep(rng.random() * 0.003)
        os.kill(pid, signal.SIGKILL)
    at = time.monotonic()
    for pid in group: os.waitpid(pid, 0)
    slowest = max(slowest, time.monotonic() - at); killed += 10
if os.waitpid(other, os.WNOHANG)[0]: print('the other program has ended')
else: os.kill(other, signal.SIGKILL); os.waitpid(other, 0)
if slowest > 5: print('a killed client took', slowest)
for name in os.listdir('.'):
    if name.startswith(prefix): (os.rmdir if name.endswith('.d') else os.unlink)(name)
print('done')
`

/** Opens and closes. Arguments: how many. */
export const manyOpens = `
for i in range(int(sys.argv[2])):
    fd = os.open('opened', os.O_CREAT | os.O_RDWR)
    if i % 100 == 0: os.write(fd, b'x')
    os.close(fd)
    if i % 10 == 0: os.listdir('.')
print('done')
`
