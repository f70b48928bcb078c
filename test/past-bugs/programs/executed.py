"""Programs that run on one member are changed, and replaced, on the other: those who run them read what was there before."""
from common import *

script = '#!/bin/bash\n# v0000\nread\n'
for runner, changer in ((A, B), (B, A)):
    for name, content in (('script', script.encode()), ('program', open('/bin/sleep', 'rb').read())):
        open(changer + '/' + name, 'wb').write(content)
        os.chmod(changer + '/' + name, 0o755)
        until(lambda: os.path.exists(runner + '/' + name) and open(runner + '/' + name, 'rb').read() == content)
        until(lambda: os.access(runner + '/' + name, os.X_OK))
    running = [subprocess.Popen([at + '/script'], stdin=subprocess.PIPE) for at in (runner, changer)]
    running.append(subprocess.Popen([runner + '/program', '60']))
    for i in range(1, 15):
        writer, reader = ((runner, changer), (changer, runner))[i % 2]
        with open(writer + '/script', 'r+') as file:
            file.write(script.replace('v0000', 'v%04d' % i))
        check(until(lambda: 'v%04d' % i in open(reader + '/script').read(), 3), 'not seen', i)
    shutil.copy('/bin/true', changer + '/new')
    os.rename(changer + '/new', changer + '/program')
    true = open('/bin/true', 'rb').read()
    check(until(lambda: open(runner + '/program', 'rb').read() == true, 3), 'not replaced')
    check(subprocess.run([runner + '/program']).returncode == 0, 'the new one does not run')
    check(running[2].poll() is None, 'the old one ended')
    for process in running:
        process.kill()
        process.wait()
    for name in ('script', 'program'):
        os.unlink(changer + '/' + name)
    gone('script', 'program')
