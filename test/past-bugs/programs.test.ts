/** Programs of bug reports of others, run through two mounts of two members: on the leader first, then on the follower. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { clusterOf, until, type Machine } from '../e2e/support/cluster.js'
import { run } from '../e2e/support/process.js'

const cluster = clusterOf(t)
const [a, b] = (await cluster.members('a', 'b')) as [Machine, Machine]
for (const machine of [a, b]) await machine.mount()

/** By the name of the program; each says in its first line what went wrong there. */
const reports: Readonly<Record<string, string>> = {
  appends: 'seaweedfs/seaweedfs#4648: appends by four programs of two members, while others list',
  copies: 'juicedata/juicefs#4436: a copy of a file that is mapped has what was stored in it',
  executed: 'seaweedfs/seaweedfs#5649: a program that runs is changed on another member',
  fsx: 'juicedata/juicefs#4889, openzfs/zfs#3740: a file is what was done to it, on whichever member',
  holes: 'hanwen/go-fuse#487: where holes and data are, to the end, and beyond 4 GiB',
  listing: 'lizardfs/lizardfs#662: a listing skips nothing while what it told is removed',
  names: 'juicedata/juicefs#7502, gluster/glusterfs#1014, #1084, phdeniel/nfs-ganesha#4: links, and renames onto them',
  replaced: 'gluster/glusterfs#4734, #1281: every call through a descriptor of a file that was replaced',
  symlinks: 'cvmfs/cvmfs#3626: a symbolic link that is read without a pause leads where it was put last',
}

for (const [program, report] of Object.entries(reports)) {
  await t.test(report, async t => {
    const path = fileURLToPath(new URL(`programs/${program}.py`, import.meta.url))
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const [here, there] = [from, to].map(({ directory }) => join(directory, program)) as [string, string]
      mkdirSync(here)
      await until('the folder', async () => (await to.shell(`ls -d ${program}`)).code === 0)
      const { code, stdout, stderr } = await run('python3', ['-B', path, here, there], { limitSeconds: 60 })
      t.same({ code, stdout }, { code: 0, stdout: '' }, `from ${from.name}: ${stderr}`)
      rmSync(here, { recursive: true, force: true })
      await until('it is gone', async () => (await to.shell(`! ls -d ${program}`)).code === 0)
    }
  })
}

await t.test('and all members have the same', () => cluster.same([a, b]))
