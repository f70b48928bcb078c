/** Mounts come back with their node; systemd is told how it is; mount(8) and fstab find rkfs. */
import { spawn, type ChildProcess } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { clusterOf, isMounted, isRunning, mainPath, sleep, until } from './support/cluster.js'
import { run } from './support/process.js'

const cluster = clusterOf(t, 280)
const solo = await cluster.machine('solo')
const other = join(cluster.root, 'mnt', 'other')

/** It is ended with the cluster. */
function serve(env: Record<string, string> = {}): ChildProcess {
  return spawn(process.execPath, [mainPath, 'serve', '--home', solo.home], {
    stdio: 'ignore',
    env: { ...process.env, ...env },
  })
}
const states = async (): Promise<string[]> =>
  ((await solo.status())?.mounts ?? []).map(m => `${m.dir} ${m.state}`).sort()

await t.test('mounts come back when the node starts, with their options; umount forgets them', async t => {
  await solo.mount('-o', 'noexec,strictatime')
  await solo.must('mount', 'demo', other, '-o', 'ro')
  await solo.shell('echo kept > f; printf "#!/bin/sh\necho ran\n" > p; chmod +x p')
  t.match((await solo.shell('./p')).stderr, /Permission denied/, 'noexec')
  const before = (await solo.shell('stat -c %x f; sleep 1; cat f >/dev/null; stat -c %x f')).stdout.split('\n')
  t.not(before[0], before[1], 'strictatime')
  await solo.must('stop')
  t.notOk(isMounted(solo.directory))
  serve()
  await until('both are there', async () => (await states()).filter(s => s.endsWith(' mounted')).length === 2)
  t.equal((await solo.shell('cat f', 10, other)).stdout, 'kept\n')
  t.match((await solo.status())?.mounts.map(m => m.options).join(), /noexec,strictatime/)
  await solo.must('umount', other)
  await solo.must('stop')
  serve()
  await until('the first is there', async () => (await states()).join() === `${solo.directory} mounted`)
  await sleep(500)
  t.notOk(isMounted(other))
})

await t.test('a reboot: the node is killed, and the table of mounts is empty', async t => {
  const pid = await solo.kill('SIGKILL')
  await until('it is gone', () => !isRunning(pid))
  await run('umount', ['-l', '-i', '-c', solo.directory], { limitSeconds: 10 })
  t.notOk(isMounted(solo.directory))
  rmSync(solo.directory, { recursive: true })
  serve()
  await until('it is there', async () => (await states()).join() === `${solo.directory} mounted`)
  t.equal((await solo.shell('cat f')).stdout, 'kept\n')
})

await t.test('what holds files meanwhile is not hidden; status says why', async t => {
  await solo.must('stop')
  writeFileSync(join(solo.directory, 'stray'), '')
  serve()
  await until('it waits', async () => (await states()).join() === `${solo.directory} waiting`)
  const { code, stdout } = await solo.rkfs('status')
  t.equal(code, 1)
  t.match(stdout.split('\n')[1], /^  ! not mounted at \S+: the directory holds files, .* \(stray\)/)
  t.match(stdout, /NOT MOUNTED YET: the directory holds files, which are not in the channel \(stray\)/)
  t.match(
    (await solo.rkfs('doctor')).stdout,
    `warn  mount: ${solo.directory} is not mounted yet (demo): the directory holds`,
  )
  rmSync(join(solo.directory, 'stray'))
  await until('it is there', async () => (await states()).join() === `${solo.directory} mounted`)
})

await t.test('umount(8) forgets it, but not when the node stops with it, as at a shutdown', async t => {
  const umount = (): Promise<unknown> => run('umount', ['-i', '-c', solo.directory], { limitSeconds: 10 })
  const remembered = (): number =>
    (JSON.parse(readFileSync(join(solo.home, 'mounts.json'), 'utf8')) as { mounts: unknown[] }).mounts.length
  await umount()
  await solo.must('stop')
  t.equal(remembered(), 1)
  serve()
  await until('it is there', async () => (await states()).join() === `${solo.directory} mounted`)
  await umount()
  await until('it is forgotten', () => remembered() === 0, 15)
  await solo.must('stop')
  await solo.mount()
  await solo.must('stop')
  t.equal(remembered(), 1)
  t.match((await solo.rkfs('umount', solo.directory)).stderr, /nothing will be when the node starts/)
  t.equal(remembered(), 0)
})

await t.test('a foreground mount does not come back', async t => {
  const mount = spawn(process.execPath, [mainPath, 'mount', '-f', 'demo', solo.directory], {
    stdio: 'ignore',
    env: { ...process.env, RKFS_HOME: solo.home },
  })
  await until('it is there', () => isMounted(solo.directory))
  mount.kill('SIGTERM')
  await until('it ended', () => mount.exitCode !== null)
  serve()
  await until('it answers', async () => (await solo.report()) !== undefined)
  t.same(await states(), [])
  await solo.must('stop')
})

/** A service manager: prints what it is told. */
const manager = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1].replace('@', chr(0)))
print('listens', flush=True)
while True:
    told = s.recv(4096).decode(); print(told.replace('\\n', ' '), open('/proc/self/mountinfo').read().count(sys.argv[2]), flush=True)
    if 'STOPPING' in told: break
`

for (const socket of [join(cluster.root, 'notify'), `@rkfs-test-${process.pid}`]) {
  await t.test(`sd_notify: ready when its mounts are there, and stopping, at ${socket[0]}`, async t => {
    await solo.mount()
    await solo.must('stop')
    const heard = run('python3', ['-c', manager, socket, ` ${solo.directory} `], { limitSeconds: 60 })
    await sleep(500)
    const node = serve({ NOTIFY_SOCKET: socket })
    await until('it is mounted', () => isMounted(solo.directory))
    await until('it is told', async () => (await states()).join() === `${solo.directory} mounted`)
    await sleep(500)
    await solo.must('stop')
    const { stdout } = await heard
    t.match(stdout.split('\n')[1], new RegExp(`^READY=1 MAINPID=${node.pid} STATUS=listens on \\S+ +1$`))
    t.match(stdout.split('\n')[2], /^STOPPING=1/)
    await solo.rkfs('umount', solo.directory)
  })
}

await t.test('service install, mount(8) and fstab', async t => {
  const rkfs = `${process.execPath} ${mainPath} --home ${solo.home}`
  const script = `
set -u; cd ${cluster.root}; mkdir sbin units m1 m2 m3
cp -a /usr/sbin/. sbin/; mount --bind sbin /usr/sbin; mkdir -p /etc/systemd/system; mount --bind units /etc/systemd/system
touch /etc/fstab; touch fstab; mount --bind fstab /etc/fstab
${rkfs} service install; echo install $?
type systemd-analyze >/dev/null 2>&1 && systemd-analyze verify /etc/systemd/system/rkfs.service; echo verify $?
mkdir ${solo.home}x; ${rkfs}x service install; echo other $?
echo 'rkfs:demo ${cluster.root}/m1 rkfs defaults,nosuid,nodev,noexec,_netdev,nofail,x-systemd.idle-timeout=0,strictatime,home=${solo.home} 0 0' >fstab
echo 'demo ${cluster.root}/m2 rkfs ro,user,noauto,home=${solo.home} 0 0' >>fstab
mount -a; echo all $?; cat m1/f; mount m2; echo m2 $?; cat m2/f; mount -a; echo again $?
grep -o 'm[12] fuse.rkfs r[ow],nosuid,nodev,noexec' /proc/mounts
mount -t rkfs -o bogus,home=${solo.home} demo m3; echo bogus $?
mount -s -t rkfs -o bogus,home=${solo.home} demo m3; echo sloppy $?
mount -t rkfs -o home=${solo.home} none m3; echo none $?
mount -t rkfs -o home=${cluster.root}/nohome demo m3; echo nohome $?; ls ${cluster.root}/nohome
umount m1 m2 m3; echo umount $?
${rkfs} service install --name zz; ${rkfs} service uninstall; echo one $?; ls /sbin/mount.rkfs
${rkfs} service uninstall --name zz; echo uninstall $?; ls units
ln -s ${mainPath} /sbin/mount.rkfs; mount -t rkfs -o home=${solo.home} demo m1; echo link $?
${rkfs} stop`
  const { stdout, stderr } = await run('unshare', ['-m', '--propagation', 'private', 'bash', '-c', script], {
    limitSeconds: 120,
  })
  const said = stdout + stderr
  const codes =
    'install 0,verify 0,other 1,all 0,m2 0,again 0,bogus 1,sloppy 0,none 32,nohome 32,umount 0,one 0,uninstall 0,link 0'
  for (const words of [
    ...codes.split(','),
    /rkfs\.service is written\n.*mount\.rkfs is written/,
    /is of the node on \S+: choose another name with --name/,
    /all 0\nkept\n/,
    /m2 0\nkept\n/,
    /m1 fuse\.rkfs rw,nosuid,nodev,noexec\n/,
    /m2 fuse\.rkfs ro,nosuid,nodev,noexec\n/,
    /mount\.rkfs: unknown mount option "bogus"/,
    /is no home of a node yet/,
    /\/sbin\/mount\.rkfs stays: \S+zz\.service has a node, too\none 0\n\/sbin\/mount\.rkfs\n/,
    /zz\.service is removed\n\/sbin\/mount\.rkfs is removed\nuninstall 0\n/,
  ]) {
    t.match(said, words)
  }
  t.same(readdirSync(join(cluster.root, 'units')), [])
})

await t.test('umount gives up a mount that is just coming back', async t => {
  await solo.mount()
  const second = await cluster.machine('second')
  await cluster.admit(solo, second)
  await until('two vote', async () => (await solo.status())?.quorum.voters === 2)
  await second.must('stop')
  await solo.must('stop')
  serve()
  // without a majority it waits for some seconds to know what there is
  await until('it is coming back', async () => (await states()).join() === `${solo.directory} waiting`)
  await solo.must('umount', solo.directory)
  t.same(await states(), [])
  await second.mount()
  await until('a majority is there', async () => (await solo.status())?.quorum.ok === true)
  t.notOk(isMounted(solo.directory))
  t.same(await states(), [])
})
