import { writeSync } from 'node:fs'
import { RkfsError } from '../../base/errors.js'
import { type Failpoint, failpoints, onFailpoint } from '../../base/failpoint.js'

const variable = 'RKFS_FAILPOINT'
const actions = ['crash', 'error', 'delay'] as const
type Action = (typeof actions)[number]

interface Setting {
  readonly name: Failpoint
  readonly action: Action
  /** It acts at this passing, counted from 1 in each thread. */
  readonly passing: number
}

const delayMs = 200

/**
 * Installs what `RKFS_FAILPOINT` asks for in this thread: `NAME[=ACTION][@PASSING]`, where the action is `crash` (SIGKILL,
 * the default), `error` (throws EIO) or `delay` (blocks for 200 ms), once, at the given passing (default 1).
 * Throws `usage` for anything else.
 */
export function installFailpoint(environment: NodeJS.ProcessEnv): void {
  const text = environment[variable]
  if (text === undefined || text === '') return
  const { name, action, passing } = parse(text)
  let passed = 0
  onFailpoint(at => {
    if (at !== name || ++passed !== passing) return
    writeSync(2, `failpoint ${name}: ${action}\n`)
    act(name, action)
  })
}

function parse(text: string): Setting {
  const [, name = '', action = 'crash', passing = '1'] = /^([^=@]*)(?:=([^@]*))?(?:@(.*))?$/.exec(text) ?? []
  if (!Object.hasOwn(failpoints, name)) {
    const known = Object.keys(failpoints).join(', ')
    throw new RkfsError('usage', `${variable}: there is no failpoint ${JSON.stringify(name)}; there are: ${known}`)
  }
  if (!isAction(action) || !/^[1-9]\d{0,8}$/.test(passing)) {
    throw new RkfsError(
      'usage',
      `${variable} must be NAME[=ACTION][@PASSING] with an action of ${actions.join(', ')} and a number from 1 (given: ${JSON.stringify(text)})`,
    )
  }
  return { name: name as Failpoint, action, passing: Number(passing) }
}

function isAction(text: string): text is Action {
  return (actions as readonly string[]).includes(text)
}

function act(name: Failpoint, action: Action): void {
  if (action === 'error') throw Object.assign(new Error(`EIO: failpoint ${name}`), { code: 'EIO' })
  if (action === 'delay') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, delayMs)
  else {
    process.kill(process.pid, 'SIGKILL')
    // the signal reaches every thread before it returns to JavaScript, but for the one that sends it
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
  }
}
