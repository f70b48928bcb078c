import t from 'tap'
import { checkChoices, formatMountOptions, parseMountOptions } from '../../src/daemon/mount-options.js'

const defaults = {
  sync: 'close',
  timeoutSeconds: 30,
  readOnly: false,
  allowOther: false,
  read: 'local',
  driver: 'kernel',
  nonEmpty: false,
  noAccessTimes: false,
  locks: 'local',
  suid: false,
  dev: false,
  noExec: false,
  strictAccessTimes: false,
}

t.test('what is accepted', async t => {
  t.same(parseMountOptions([]), defaults)
  t.same(parseMountOptions([], 7), { ...defaults, timeoutSeconds: 7 })
  t.same(parseMountOptions(['sync=always,timeout=5', 'ro,,allow_other', 'read=latest']), {
    ...defaults,
    sync: 'always',
    timeoutSeconds: 5,
    readOnly: true,
    allowOther: true,
    read: 'latest',
  })
  t.same(
    parseMountOptions(['ro', 'rw', 'nonempty', 'driver=fuse-native', 'locks=local', 'timeout=1', 'timeout=3600']),
    {
      ...defaults,
      timeoutSeconds: 3600,
      nonEmpty: true,
      driver: 'fuse-native',
    },
  )
  t.same(parseMountOptions(['noatime']), { ...defaults, noAccessTimes: true })
  t.same(parseMountOptions(['noatime', 'relatime']), defaults)
  t.same(parseMountOptions(['suid', 'dev']), { ...defaults, suid: true, dev: true })
  t.same(parseMountOptions(['suid,dev', 'nosuid', 'nodev']), defaults)
  t.same(parseMountOptions(['locks=channel']), { ...defaults, locks: 'channel' })
})

t.test('the words of mount(8), fstab(5) and systemd.mount(5)', async t => {
  t.same(
    parseMountOptions([
      'defaults,auto,noauto,_netdev,nofail,async,exec,nouser,x-systemd.automount,X-a=b,comment=c,nodiratime,lazytime',
    ]),
    defaults,
  )
  t.same(parseMountOptions(['sync']), { ...defaults, sync: 'always' })
  t.same(parseMountOptions(['noexec', 'strictatime']), { ...defaults, noExec: true, strictAccessTimes: true })
  t.same(parseMountOptions(['strictatime', 'noatime']), { ...defaults, noAccessTimes: true })
  t.same(parseMountOptions(['strictatime', 'nostrictatime', 'noexec', 'exec']), defaults)
  for (const word of ['user', 'users', 'owner', 'group']) {
    t.same(parseMountOptions([`suid,dev,${word}`]), { ...defaults, noExec: true }, word)
    t.same(parseMountOptions([`${word},exec,suid`]), { ...defaults, suid: true }, word)
  }
  t.equal(formatMountOptions(parseMountOptions(['noexec,strictatime'])), 'rw,sync=close,timeout=30,noexec,strictatime')
})

t.test('what is refused', async t => {
  const cases: [string, RegExp][] = [
    ['sync=', /sync must be/],
    ['sync=Close', /sync must be/],
    ['timeout', /timeout must be .* \(given: no value\)/],
    ['timeout=0', /1 to 3600/],
    ['timeout=3601', /1 to 3600/],
    ['timeout=1.5', /1 to 3600/],
    ['timeout=1e3', /1 to 3600/],
    ['timeout=-1', /1 to 3600/],
    ['ro=1', /ro takes no value/],
    ['suid=1', /suid takes no value/],
    ['exec=1', /exec takes no value/],
    ['dirsync', /unknown mount option "dirsync"/],
    ['read=newest', /read must be local or latest/],
    ['driver=fuse', /driver must be kernel or fuse-native/],
    ['locks=x', /locks must be/],
    ['iversion', /unknown mount option "iversion": known are sync/],
    ['=', /unknown mount option/],
    ['remount', /cannot be changed in place \(remount\): unmount it/],
    ['bogus', /known are .* auto, noauto, user, users, owner, group, async, .* comment=…, x-…$/],
  ]
  for (const [option, message] of cases) {
    t.throws(() => parseMountOptions([option]), { code: 'usage', message }, option)
  }
})

t.test('who may have set-uid files and device nodes', async t => {
  const check = (user: number, ...given: string[]): void => checkChoices(parseMountOptions(given), user)
  t.doesNotThrow(() => check(1000))
  t.doesNotThrow(() => check(0, 'suid,dev,allow_other'))
  t.throws(() => check(1000, 'suid'), { code: 'usage', message: /the mount option suid needs root/ })
  t.throws(() => check(1000, 'dev'), { code: 'usage', message: /the mount option dev needs root/ })
  for (const option of ['suid', 'dev']) {
    t.throws(() => check(0, `driver=fuse-native,allow_other,${option}`), {
      code: 'usage',
      message: new RegExp(`with allow_other and ${option} anybody could make one of root: leave one of them out`),
    })
  }
})

t.test('as shown in the status', async t => {
  t.equal(formatMountOptions(parseMountOptions([])), 'rw,sync=close,timeout=30')
  t.equal(
    formatMountOptions(parseMountOptions(['ro,read=latest,allow_other,sync=fsync,noatime'])),
    'ro,sync=fsync,timeout=30,allow_other,noatime,read=latest',
  )
  t.equal(formatMountOptions(parseMountOptions(['suid,dev'])), 'rw,sync=close,timeout=30,suid,dev')
})
