// A user without privileges: makes a channel, mounts it through fusermount3, works in it, and leaves. With both drivers.
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'
import { freePort, isMounted, mainPath, skip } from './support/cluster.js'
import { run, type Outcome } from './support/process.js'

const user = { uid: 65534, gid: 65534 }
const root = dirname(dirname(dirname(mainPath)))

/** What a program does there; what must not be possible ends with an error that is printed. */
const work = `
import os, stat, subprocess
os.mkdir('d'); open('d/f', 'w').write('mine'); os.chmod('d/f', 0o600); os.symlink('d/f', 'l')
s = os.stat('d/f'); assert (s.st_uid, s.st_gid, stat.S_IMODE(s.st_mode)) == (65534, 65534, 0o600), s
assert open('l').read() == 'mine'
with open('d/f', 'a') as f: f.write(' and more'); f.flush(); os.fsync(f.fileno())
os.rename('d/f', 'd/g'); os.link('d/g', 'd/h'); assert os.stat('d/g').st_nlink == 2
fd = os.open('d/g', os.O_RDONLY); os.unlink('d/g'); os.unlink('d/h'); assert os.read(fd, 100) == b'mine and more'; os.close(fd)
for what, call in (('chown', lambda: os.chown('d', 0, 0)), ('mknod', lambda: os.mknod('n', stat.S_IFCHR | 0o600, os.makedev(1, 3)))):
    try: call(); print(what, 'was possible')
    except PermissionError: pass
print('done')
`

for (const driver of ['kernel', 'fuse-native']) {
  await t.test(`a user without privileges, driver=${driver}`, { skip, timeout: 120_000 }, async t => {
    const folder = mkdtempSync(join(tmpdir(), 'rkfs-unprivileged.'))
    // the checkout may lie where only root may go: the user sees it here
    const product = join(folder, 'product')
    const [home, directory] = [join(folder, 'home'), join(folder, 'mount')]
    for (const path of [product, home, directory]) mkdirSync(path)
    chmodSync(folder, 0o755)
    for (const path of [home, directory]) chownSync(path, user.uid, user.gid)
    // as udev does it where it runs
    const { mode } = statSync('/dev/fuse')
    chmodSync('/dev/fuse', 0o666)
    const bound = await run('mount', ['--bind', root, product], { limitSeconds: 10 })
    t.equal(bound.code, 0, bound.stderr)
    const asUser = (program: string, ...args: string[]): Promise<Outcome> =>
      run('setpriv', [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups', program, ...args], {
        limitSeconds: 60,
        env: { HOME: home, RKFS_HOME: join(home, 'rkfs') },
      })
    const rkfs = (...args: string[]): Promise<Outcome> =>
      asUser(process.execPath, join(product, 'dist/cli/main.js'), ...args)
    t.teardown(async () => {
      await rkfs('umount', directory, '--force')
      await rkfs('stop')
      if (isMounted(directory)) await run('umount', ['-l', directory], { limitSeconds: 10 })
      await run('umount', ['-l', product], { limitSeconds: 10 })
      chmodSync('/dev/fuse', mode & 0o777)
      rmSync(folder, { recursive: true, force: true })
    })

    const foreign = join(folder, 'private')
    mkdirSync(foreign, { mode: 0o700 })
    const elsewhere = await rkfs('--home', join(foreign, 'home'), 'mount', 'photos', directory)
    t.match(elsewhere.stderr, `the home ${foreign}/home cannot be reached: permission denied: run rkfs as its owner`)
    const listen = `127.0.0.1:${await freePort()}`
    const mounted = await rkfs('mount', 'photos', directory, '--listen', listen, '-o', `driver=${driver}`)
    t.equal(mounted.code, 0, mounted.stderr)
    t.ok(isMounted(directory))
    const inside = ['-c', `import os; os.chdir(${JSON.stringify(directory)})\n${work}`]
    const worked = await asUser('/usr/bin/python3', ...inside)
    t.equal(worked.stdout, 'done\n', worked.stderr)
    const other = await run('setpriv', ['--reuid=1', '--regid=1', '--clear-groups', 'ls', directory], {
      limitSeconds: 10,
    })
    t.not(other.code, 0, 'without allow_other nobody else gets in')
    const status = await rkfs('status')
    t.match(status.stdout, new RegExp(`${directory} \\(${driver},`))
    const left = await rkfs('umount', directory)
    t.equal(left.code, 0, left.stderr)
    t.notOk(isMounted(directory))
  })
}
