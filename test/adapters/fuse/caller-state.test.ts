import t from 'tap'
import { callerStates, isFatal, isOnItsWayOut } from '../../../src/adapters/fuse/caller-state.js'

const hex = (...signals: number[]): string =>
  signals
    .reduce((set, signal) => set | (1n << BigInt(signal - 1)), 0n)
    .toString(16)
    .padStart(16, '0')

interface Signals {
  own?: number[]
  shared?: number[]
  blocked?: number[]
  ignored?: number[]
  caught?: number[]
  tracer?: number
  inner?: string
}

/** As the kernel writes it, with a name that looks like a line of it. */
const status = ({ own = [], shared = [], blocked = [], ignored = [], caught = [], tracer = 0, inner = '' }: Signals) =>
  [
    'Name:\tSigPnd:0000000000000100',
    'State:\tS (sleeping)',
    'Tgid:\t41',
    'Pid:\t42',
    `TracerPid:\t${tracer}`,
    `NSpid:\t42${inner}`,
    'Threads:\t2',
    'SigQ:\t0/7823',
    `SigPnd:\t${hex(...own)}`,
    `ShdPnd:\t${hex(...shared)}`,
    `SigBlk:\t${hex(...blocked)}`,
    `SigIgn:\t${hex(...ignored)}`,
    `SigCgt:\t${hex(...caught)}`,
    '',
  ].join('\n')

const [SIGINT, SIGQUIT, SIGKILL, SIGALRM, SIGTERM, SIGCHLD, SIGTSTP, SIGURG, realtime] = [
  2, 3, 9, 14, 15, 17, 20, 23, 40,
] as const

void t.test('who dies of a signal (signal(7)), by its /proc/PID/status', t => {
  t.notOk(isFatal(status({})), 'none is pending')
  t.ok(isFatal(status({ own: [SIGKILL] })), 'killed, or its process dies: the kernel gives each thread a SIGKILL')
  t.ok(isFatal(status({ own: [SIGKILL], shared: [SIGTERM], caught: [SIGALRM] })))
  t.ok(isFatal(status({ shared: [SIGQUIT] })), 'before a core dump there is only the signal')
  t.ok(isFatal(status({ own: [SIGQUIT] })), 'of the thread alone, too')
  t.ok(isFatal(status({ shared: [realtime] })))
  t.notOk(isFatal(status({ shared: [SIGALRM], caught: [SIGALRM] })), 'handled')
  t.notOk(isFatal(status({ shared: [SIGQUIT, SIGALRM], caught: [SIGALRM, SIGQUIT] })))
  t.notOk(isFatal(status({ own: [SIGINT], ignored: [SIGINT] })), 'ignored')
  t.notOk(isFatal(status({ own: [SIGQUIT], blocked: [SIGQUIT] })), 'blocked')
  t.notOk(isFatal(status({ shared: [SIGCHLD, SIGURG, SIGTSTP] })), 'nothing happens by default, or a stop')
  t.notOk(isFatal(status({ shared: [SIGQUIT], tracer: 7 })), 'a debugger decides')
  t.ok(isFatal(status({ own: [SIGKILL], tracer: 7 })))
  t.notOk(isFatal(status({ shared: [SIGQUIT], inner: '\t1' })), 'the first process of a namespace has no defaults')
  t.ok(isFatal(status({ shared: [SIGQUIT], inner: '\t11' })))
  t.notOk(isFatal(''), 'it is gone, or hidden')
  t.end()
})

void t.test('who is on the way out, by its /proc/PID/stat', t => {
  const stat = (flags: number): string => `42 (a) b) S 1 42 42 34816 42 ${flags} 100 0 0`
  t.ok(isOnItsWayOut(stat(0x400004)))
  t.notOk(isOnItsWayOut(stat(0x400000)))
  t.notOk(isOnItsWayOut(''))
  t.end()
})

void t.test('of a caller that cannot be seen nothing is said', t => {
  const callers = callerStates()
  for (const thread of [0, 2 ** 22 + 1, process.pid]) {
    t.notOk(callers.isDying(thread))
    t.notOk(callers.isExiting(thread))
  }
  t.end()
})
