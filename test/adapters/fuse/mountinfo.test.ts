import t from 'tap'
import { mountsAt, parseMountinfo, readMounts } from '../../../src/adapters/fuse/mountinfo.js'

const TEXT = [
  '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw',
  '40 22 0:36 / /mnt/with\\040space\\134and\\011tab rw,nosuid shared:2 master:1 - fuse.rkfs my\\040source rw,user_id=0',
  '41 40 0:37 /sub /mnt/b rw - fuse.rkfs rkfs rw',
  '42 41 0:38 / /mnt/b rw unbindable - tmpfs tmpfs rw',
  'not a line of mountinfo',
  '',
].join('\n')

t.test('lines with any count of optional fields, and escapes', async t => {
  const mounts = parseMountinfo(TEXT)
  t.equal(mounts.length, 4)
  t.strictSame(mounts[1], {
    id: 40,
    device: '0:36',
    root: '/',
    mountPoint: '/mnt/with space\\and\ttab',
    type: 'fuse.rkfs',
    source: 'my source',
  })
  t.equal(mounts[2]!.root, '/sub')
})

t.test('mounts one above the other: the visible one is last', async t => {
  const stacked = mountsAt('/mnt/b', parseMountinfo(TEXT))
  t.strictSame(
    stacked.map(entry => entry.type),
    ['fuse.rkfs', 'tmpfs'],
  )
  t.strictSame(mountsAt('/mnt', parseMountinfo(TEXT)), [])
})

t.test('this machine', async t => {
  t.ok(mountsAt('/proc', readMounts()).some(entry => entry.type === 'proc'))
})
