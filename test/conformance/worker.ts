// The process that enters the directory: it runs one case after the other, and is killed with all that it started when
// a case hangs.
import { chmodSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Context, Need } from './case.js'
import { Actor } from './kit/actor.js'
import { CheckFailed, Skip, SysError } from './kit/errors.js'
import { unmapAll } from './kit/mapping.js'
import { closeAll, sys } from './kit/sys.js'
import type { Report, Request } from './runner.js'
import { table } from './table.js'

const ST_NOSUID = 2
const ST_NODEV = 4
const ST_NOEXEC = 8
const ST_NOATIME = 1024

const actors: (Actor | undefined)[] = []

/** Why the environment lacks it; nothing when it does not. */
function lacks(need: Need, directory: string, large: boolean): string | undefined {
  const { flags } = sys.statfs(directory)
  switch (need) {
    case 'root':
      return process.geteuid?.() === 0 ? undefined : 'needs root'
    case 'device nodes':
      if (process.geteuid?.() !== 0) return 'needs root'
      return flags & ST_NODEV ? 'mounted with nodev' : undefined
    case 'set-uid programs':
      if (process.geteuid?.() !== 0) return 'needs root'
      return flags & (ST_NOSUID | ST_NOEXEC) ? 'mounted with nosuid or noexec' : undefined
    case 'programs':
      return flags & ST_NOEXEC ? 'mounted with noexec' : undefined
    case 'access times':
      return flags & ST_NOATIME ? 'mounted with noatime' : undefined
    case 'protected hardlinks':
      return readFileSync('/proc/sys/fs/protected_hardlinks', 'utf8').trim() === '1'
        ? undefined
        : 'fs.protected_hardlinks is not set'
    case 'large':
      return large ? undefined : 'large: only with --large'
    default:
      throw new Error(`unknown need ${String(need satisfies never)}`)
  }
}

async function actor(directory: string, number: number): Promise<Actor> {
  let found = actors[number]
  if (found === undefined || found.ended) found = actors[number] = await Actor.start()
  await found.do('enter', directory)
  return found
}

async function run({ index, base, large }: Request): Promise<Report> {
  const one = table[index]!
  mkdirSync(base, { recursive: true })
  for (const need of one.needs ?? []) {
    const lack = lacks(need, base, large)
    if (lack !== undefined) return { index, outcome: 'skipped', reason: lack }
  }
  const directory = join(base, `${index}`)
  const used = new Set<number>()
  const context: Context = {
    directory,
    actor: async (number = 0) => {
      used.add(number)
      return actor(directory, number)
    },
  }
  process.umask(0)
  mkdirSync(directory, { recursive: true })
  chmodSync(directory, 0o777)
  process.chdir(directory)
  try {
    await one.run(context)
    return { index, outcome: 'passed' }
  } catch (error) {
    if (error instanceof Skip) return { index, outcome: 'skipped', reason: error.message }
    if (error instanceof CheckFailed) {
      return { index, outcome: 'failed', message: error.message, expected: error.expected, found: error.found }
    }
    const found = error instanceof SysError ? error.code : String(error)
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return { index, outcome: 'failed', message: message.split('\n').slice(0, 8).join('\n'), expected: 'success', found }
  } finally {
    unmapAll()
    closeAll()
    process.umask(0)
    for (const number of used) if (actors[number]?.ended === false) await actors[number].closeAll()
    process.chdir('/')
  }
}

process.on('message', (request: Request) => {
  void run(request).then(
    report => process.send!(report),
    (error: unknown) =>
      process.send!({
        index: request.index,
        outcome: 'failed',
        message: `outside the case: ${String(error)}`,
        expected: 'success',
        found: String(error),
      } satisfies Report),
  )
})
process.on('disconnect', () => process.exit())
process.send!('ready')
