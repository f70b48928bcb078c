/**
 * Programs under fault, in Python: `program.py DIRECTORY NAME JOURNAL`. Each works in DIRECTORY/load, which stands in the
 * mount only, until SIGTERM or the end of its parent, whatever fails. JOURNAL is outside of the mount; its lines are `ok WHAT SECONDS` for what was
 * acknowledged, `no ERRNO SECONDS` for a failure, whose outcome is unknown and which is never tried again, and
 * `bad …` for what must not be.
 */
const frame = `
import errno, os, signal, sqlite3, subprocess, sys, time
top, name, journal = sys.argv[1], sys.argv[2].encode(), os.open(sys.argv[3], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
load, stopped, parent = os.path.join(top, 'load'), False, os.getppid()
def stop(*_):
    global stopped; stopped = True
signal.signal(signal.SIGTERM, stop); signal.siginterrupt(signal.SIGTERM, False)
# a parent that was killed cannot end us
def going(): return not stopped and os.getppid() == parent
def say(line): os.write(journal, (line + '\\n').encode())
def attempt(what, call):
    begun = time.monotonic()
    try: result = call()
    except OSError as error: problem = errno.errorcode.get(error.errno, str(error))
    except (sqlite3.Error, subprocess.SubprocessError) as error: problem = type(error).__name__
    else:
        say('ok %s %.3f' % (result or what, time.monotonic() - begun)); return True
    say('no %s %.3f' % (problem, time.monotonic() - begun)); time.sleep(0.1); return False
def opened(path, flags, use):
    fd = os.open(os.path.join(load, path), flags, 0o644)
    try: return use(fd)
    finally: os.close(fd)
def write(fd, data):
    if os.write(fd, data) != len(data): say('bad short write')
def synced(fd, data): write(fd, data); os.fsync(fd)
def sync_names(path=''): opened(path, os.O_RDONLY | os.O_DIRECTORY, os.fsync)
`

/** Records of an own log, records of a log of all, and files. */
const writer = `
i = 0
while going():
    i += 1
    own = b'%s %d\\n' % (name, i)
    make = os.O_CREAT | os.O_APPEND | os.O_WRONLY
    attempt('own %d' % i, lambda: opened(b'log-'.decode() + name.decode(), make, lambda fd: synced(fd, own)))
    attempt('all %d' % i, lambda: opened('log-of-all', make, lambda fd: synced(fd, own)))
    if i % 4 == 0:
        path = 'file-%s-%d' % (name.decode(), i)
        attempt('file %d' % i, lambda: opened(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, lambda fd: synced(fd, own * (i * 37 % 900 + 1))))
    time.sleep(0.02)
`

/** One file replaced by its next version, again and again. */
const replacer = `
version, current = 0, 'current-' + name.decode()
def replace():
    # a name of its own: a rename that failed may still come, and what is truncated then is the current file
    fresh = 'fresh-%s-%d' % (name.decode(), version)
    content = b'%s %d\\n' % (name, version)
    opened(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, lambda fd: synced(fd, content * 400))
    os.rename(os.path.join(load, fresh), os.path.join(load, current)); sync_names()
while going():
    version += 1
    attempt('version %d' % version, replace)
    time.sleep(0.02)
`

/**
 * Looks at all that the replacers do: never torn, never gone. An older version than before is told as `back …`: a new mount
 * may begin with one, and a leader's shows what it has ordered, which it may lose with its leadership.
 */
const reader = `
seen = {}
def look():
    folder = os.open(load, os.O_RDONLY | os.O_DIRECTORY)
    try:
        mount = os.fstat(folder).st_dev
        for path in sorted(os.listdir(folder)):
            if not path.startswith('current-'): continue
            try: fd = os.open(path, os.O_RDONLY, dir_fd=folder)
            except FileNotFoundError: say('bad %s was there and is gone' % path); continue
            try: data = os.read(fd, 1 << 17)
            finally: os.close(fd)
            lines = data.split(b'\\n')
            if len(lines) != 401 or len(set(lines[:400])) != 1: say('bad %s is torn: %d bytes %r' % (path, len(data), data[:40])); continue
            version = int(lines[0].split()[1])
            if version < seen.get((mount, path), 0): say('back %s: version %d after %d' % (path, version, seen[mount, path]))
            seen[mount, path] = version
    finally: os.close(folder)
while going():
    attempt('look', look)
    time.sleep(0.05)
`

/** Transactions, each a row and its sum. */
const database = `
number, path = 0, os.path.join(load, 'rows.db')
def transact():
    link = sqlite3.connect('file:%s?mode=rwc' % path, uri=True, timeout=2, isolation_level=None)
    try:
        link.execute('PRAGMA synchronous = EXTRA')
        link.execute('BEGIN IMMEDIATE')
        link.execute('CREATE TABLE IF NOT EXISTS row (number INTEGER PRIMARY KEY, text TEXT NOT NULL)')
        link.execute('INSERT INTO row VALUES (?, ?)', (number, 'row %d ' % number * 50))
        link.execute('COMMIT')
    finally: link.close()
while going():
    number += 1
    attempt('row %d' % number, transact)
    time.sleep(0.05)
`

/** Commits, each a file. What a killed git leaves locked is unlocked, as its own message advises. */
const repository = `
number, tree = 0, os.path.join(load, 'repository')
settings = ['-c', 'core.fsync=all', '-c', 'user.name=n', '-c', 'user.email=e', '-c', 'gc.auto=0', '-c', 'init.defaultBranch=main']
def git(*words):
    return subprocess.run(['git', *settings, '-C', tree, *words], check=True, capture_output=True, timeout=60, cwd='/',
        env={'PATH': os.environ['PATH'], 'HOME': '/nonexistent'}, start_new_session=True).stdout.decode().strip()
def unlock():
    for at in ('index', 'HEAD', 'refs/heads/main', 'config'):
        try: os.unlink(os.path.join(tree, '.git', at + '.lock'))
        except OSError: pass
def commit():
    if not os.path.isdir(load): raise OSError(errno.ENOTCONN, 'no mount')
    if number == 1: os.makedirs(tree, exist_ok=True)
    if not os.path.exists(os.path.join(tree, '.git', 'refs', 'heads', 'main')): git('init', '-q')
    path = 'file-%d' % number
    opened('repository/' + path, os.O_CREAT | os.O_WRONLY, lambda fd: write(fd, b'%d\\n' % number * 100))
    git('add', path); git('commit', '-q', '-m', path)
    sync_names('repository/.git/refs/heads')
    return 'commit ' + git('rev-parse', 'HEAD')
while going():
    number += 1
    if not attempt('', commit): unlock()
    time.sleep(0.2)
`

export const programs = {
  writer: frame + writer,
  replacer: frame + replacer,
  reader: frame + reader,
  database: frame + database,
  repository: frame + repository,
}
export type ProgramKind = keyof typeof programs

/**
 * What was acknowledged, as a member sees it: `check.py DIRECTORY JOURNAL…`, a journal's name being KIND-NAME. Prints what
 * is wrong, then `checked N`.
 */
export const checkAcknowledged = `
import collections, subprocess
os.chdir('load'); checked = 0
def lines(path, torn):
    with open(path, 'rb') as f: data = f.read()
    if data and not data.endswith(b'\\n'): print(path, 'ends within a record')
    found = collections.defaultdict(list)
    for at, line in enumerate(data.split(b'\\n')[:-1]):
        words = line.split()
        if len(words) != 2 or not words[1].isdigit(): print(path, 'torn at', at, line[:80]); continue
        found[words[0].decode()].append(int(words[1]))
    return found
def records(path, found, acknowledged):
    for number, times in collections.Counter(found).items():
        if times > 1: print(path, 'has record', number, times, 'times')
    if found != sorted(found): print(path, 'is out of order', [(a, b) for a, b in zip(found, found[1:]) if a > b][:5])
    lost = sorted(set(acknowledged) - set(found))
    if lost: print(path, 'lacks', len(lost), 'acknowledged records', lost[:10])
for journal in sys.argv[2:]:
    kind, name = os.path.basename(journal).split('-', 1)
    with open(journal) as f: said = [line.split() for line in f if line.startswith('ok ')]
    of = lambda what: [words[2] for words in said if words[1] == what]
    checked += len(said)
    if kind == 'writer':
        if of('own'): records('log-' + name, lines('log-' + name, True)[name], map(int, of('own')))
        if of('all'): records('log-of-all', lines('log-of-all', True)[name], map(int, of('all')))
        for i in map(int, of('file')):
            try:
                with open('file-%s-%d' % (name, i), 'rb') as f: found = f.read()
            except OSError as error: print(error); continue
            if found != b'%s %d\\n' % (name.encode(), i) * (i * 37 % 900 + 1): print('file-%s-%d:' % (name, i), len(found), 'bytes')
    elif kind == 'replacer' and of('version'):
        with open('current-' + name, 'rb') as f: found = f.read().split(b'\\n')
        if len(found) != 401 or len(set(found[:400])) != 1: print('current-' + name, 'is torn')
        elif int(found[0].split()[1]) < int(of('version')[-1]): print('current-' + name, 'is', found[0], 'after', of('version')[-1])
    elif kind == 'database' and of('row'):
        import sqlite3
        # to be read and written: what a transaction that failed left has to be rolled back first, which is a write
        link = sqlite3.connect('file:rows.db?mode=rw', uri=True)
        if (state := link.execute('PRAGMA integrity_check').fetchall()) != [('ok',)]: print('rows.db', state[:3])
        rows = {number: text for number, text in link.execute('SELECT number, text FROM row')}
        for number in map(int, of('row')):
            if rows.get(number) != 'row %d ' % number * 50: print('rows.db lacks row', number)
    elif kind == 'repository' and of('commit'):
        git = lambda *words: subprocess.run(['git', '-c', 'safe.directory=*', '--no-optional-locks', '-C', 'repository', *words], capture_output=True, text=True)
        state = git('fsck', '--strict', '--no-dangling')
        if state.returncode: print('git fsck', state.stdout[-300:], state.stderr[-300:])
        missing = set(of('commit')) - set(git('rev-list', 'HEAD').stdout.split())
        if missing: print('commits are missing:', len(missing), sorted(missing)[:3])
print('checked', checked)
`
