/**
 * A database fails over, and back: redis-server, which syncs each change before it answers, is killed under load on one
 * member together with that member's node, serves on another member, and again on the first when its node is back. All
 * that it has answered OK is there each time. The member leads or follows, and is cut off before it is killed, or not.
 *   SEED=n          other moments
 *   FAIL_OVERS=n    rounds of each kind (default: 1)
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { until } from '../e2e/support/cluster.js'
import type { Member } from './support/member.js'
import { skipUnlessNetworked } from './support/network.js'
import { Redis, redisSkip } from './support/redis.js'
import { SetLoad } from './support/set-load.js'
import { Trial } from './support/trial.js'

skipUnlessNetworked(t, redisSkip)

const seed = Number(process.env['SEED'] ?? 1)
const rounds = Number(process.env['FAIL_OVERS'] ?? 1)
/** From the cut to the kill: what was on its way is nowhere else then. */
const cutMs = 500
t.setTimeout(60_000 + rounds * 200_000)

const trial = new Trial({ members: 3, seed })
t.teardown(() => trial.close())
await trial.open()
const { members, rng } = trial

/** A moment under load: between one and two seconds. */
const aWhile = (): Promise<void> => sleep(1000 + rng.below(1000))

const running = new Set<Redis>()
t.teardown(() => Promise.all([...running].map(redis => redis.kill())))

async function serve(member: Member, folder: string): Promise<Redis> {
  const redis = await Redis.start(join(member.directory, folder), join(trial.cluster.root, `redis-${member.name}`))
  running.add(redis)
  return redis
}

async function end(redis: Redis): Promise<void> {
  await redis.kill()
  running.delete(redis)
}

/** The members that the fail-over is from and to. */
async function chosen(role: 'leader' | 'follower'): Promise<[Member, Member]> {
  const leader = (await trial.cluster.leader(members)) as Member
  const others = members.filter(member => member !== leader)
  const [one, other] = rng.below(2) === 0 ? [others[0]!, others[1]!] : [others[1]!, others[0]!]
  if (role === 'leader') return [leader, one]
  // to a member that led before, and to one that did not
  return rng.below(2) === 0 ? [one, leader] : [one, other]
}

async function failOver(t: Test, role: 'leader' | 'follower', how: 'kill' | 'cut', folder: string): Promise<void> {
  const [a, b] = await chosen(role)
  mkdirSync(join(a.directory, folder))
  const load = new SetLoad()

  const first = await serve(a, folder)
  load.begin(first)
  await until('it serves', () => load.acknowledged > 100)
  await aWhile()
  t.equal((await a.status())?.state, role, `${a.name} is the ${role}`)
  if (how === 'cut') {
    trial.network.unplug(a.name)
    await sleep(cutMs)
  }
  await Promise.all([end(first), a.crash()])
  await load.end()
  const before = load.acknowledged

  await until(`the others have a leader`, async () => (await b.status())?.quorum.ok === true)
  const second = await serve(b, folder)
  t.same(await load.wrong(second), [], `what ${a.name} had acknowledged is there on ${b.name}`)
  load.begin(second)
  await until('it serves', () => load.acknowledged > before + 100)
  trial.network.heal()
  // the node comes back while the database works
  await a.start()
  await aWhile()
  await end(second)
  await load.end()
  await trial.cluster.same(members)

  const third = await serve(a, folder)
  t.same(await load.wrong(third), [], `what ${a.name} and ${b.name} had acknowledged is there on ${a.name} again`)
  await end(third)
  const conflicts = (await a.status())?.conflicts
  t.comment(
    `${a.name} to ${b.name}: ${before} acknowledged before and ${load.acknowledged - before} after; ${conflicts} kept as copies`,
  )
  await a.must('conflicts', 'discard', 'demo', '--all')
}

for (let round = 1; round <= rounds; round++) {
  for (const role of ['leader', 'follower'] as const) {
    for (const how of ['kill', 'cut'] as const) {
      const name = `${role}-${how}-${round}`
      await t.test(`seed ${seed}: ${how} of a ${role}, round ${round}`, { timeout: 120_000 }, t =>
        failOver(t, role, how, name),
      )
    }
  }
}

await t.test('all members are the same, and none failed', async t => {
  const { code, stdout, stderr } = await members[0]!.rkfs('verify', 'demo', '--deep')
  t.equal(code, 0, `${stdout}${stderr}`)
  for (const member of members) t.same(member.crashes, [], `the node of ${member.name} never ended by itself`)
})
