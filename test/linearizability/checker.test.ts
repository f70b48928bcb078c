/** The checker of histories: known ones, and drawn ones against a checker that tries everything. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Rng } from '../../src/base/rng.js'
import { check, type Model } from './checker.js'
import { fileModel, type FileInput, type FileOperation, type FileOutput } from './file-model.js'
import { historyOf, loadLines, parseLines, Recorder, saveLines, type HistoryLine } from './history.js'
import { describeVerdict } from './report.js'
import { atomicHistory, drawFileInput, isLinearizableByForce, withSwappedAnswer } from './support/generate.js'

/** `RUNS` draws so many times as many. */
const runs = Number(process.env['RUNS'] ?? 1)

const put = (path: string, data: string): FileInput => ({ op: 'put', path, data })
const read = (path: string): FileInput => ({ op: 'read', path })
const missing: FileOutput = { error: 'ENOENT' }

/** `[call, return, input, output]`; without a return the outcome is unknown. */
type Row = readonly [number, number | undefined, FileInput, FileOutput?]
const historyFrom = (rows: readonly Row[]): FileOperation[] =>
  rows.map(([call, end, input, output], i) => ({ client: `c${i}`, input, call, return: end, output }))

const known: readonly [string, 'linearizable' | 'violation', readonly Row[]][] = [
  ['nothing', 'linearizable', []],
  ['a read of nothing', 'linearizable', [[0, 1, read('a'), missing]]],
  [
    'a read while it is written sees the old one or the new one',
    'linearizable',
    [
      [0, 1, put('a', '1'), 'ok'],
      [2, 9, put('a', '2'), 'ok'],
      [3, 4, read('a'), { data: '1' }],
      [5, 6, read('a'), { data: '2' }],
    ],
  ],
  [
    'the new one, then the old one',
    'violation',
    [
      [0, 1, put('a', '1'), 'ok'],
      [2, 9, put('a', '2'), 'ok'],
      [3, 4, read('a'), { data: '2' }],
      [5, 6, read('a'), { data: '1' }],
    ],
  ],
  [
    'a stale read',
    'violation',
    [
      [0, 1, put('a', '1'), 'ok'],
      [2, 3, put('a', '2'), 'ok'],
      [4, 5, read('a'), { data: '1' }],
    ],
  ],
  [
    'a call that begins when another returns is at the same time',
    'linearizable',
    [
      [0, 1, put('a', '1'), 'ok'],
      [1, 2, read('a'), missing],
    ],
  ],
  [
    'a lost write',
    'violation',
    [
      [0, 1, put('a', '1'), 'ok'],
      [2, 3, read('a'), missing],
    ],
  ],
  [
    'a write of unknown outcome that comes late',
    'linearizable',
    [
      [0, undefined, put('a', '1')],
      [2, 3, read('a'), missing],
      [50, 51, read('a'), { data: '1' }],
    ],
  ],
  [
    'a write of unknown outcome that never comes',
    'linearizable',
    [
      [0, undefined, put('a', '1')],
      [2, 3, read('a'), missing],
    ],
  ],
  [
    'a write of unknown outcome cannot be undone',
    'violation',
    [
      [0, undefined, put('a', '1')],
      [2, 3, read('a'), { data: '1' }],
      [4, 5, read('a'), missing],
    ],
  ],
  [
    'a write of unknown outcome is not seen before its call',
    'violation',
    [
      [0, 1, read('a'), { data: '1' }],
      [2, undefined, put('a', '1')],
    ],
  ],
  [
    'an append of unknown outcome that is there twice',
    'violation',
    [
      [0, 1, put('a', ''), 'ok'],
      [2, undefined, { op: 'append', path: 'a', data: 'x' }],
      [3, 4, read('a'), { data: 'x' }],
      [5, 6, read('a'), { data: 'xx' }],
    ],
  ],
  [
    'an append that is there twice',
    'violation',
    [
      [0, 1, put('a', ''), 'ok'],
      [2, 3, { op: 'append', path: 'a', data: 'x' }, 'ok'],
      [5, 6, read('a'), { data: 'xx' }],
    ],
  ],
  [
    'two appends, one lost',
    'violation',
    [
      [0, 1, put('a', ''), 'ok'],
      [2, 9, { op: 'append', path: 'a', data: 'x' }, 'ok'],
      [3, 8, { op: 'append', path: 'a', data: 'y' }, 'ok'],
      [10, 11, read('a'), { data: 'y' }],
    ],
  ],
  [
    'one name made by two',
    'violation',
    [
      [0, 9, { op: 'create', path: 'a' }, 'ok'],
      [1, 8, { op: 'create', path: 'a' }, 'ok'],
    ],
  ],
  [
    'a file moved by two',
    'violation',
    [
      [0, 1, put('a', '1'), 'ok'],
      [2, 9, { op: 'rename', path: 'a', to: 'b' }, 'ok'],
      [3, 8, { op: 'rename', path: 'a', to: 'c' }, 'ok'],
    ],
  ],
  [
    'a file that is at both ends of a move',
    'violation',
    [
      [0, 1, put('a', '1'), 'ok'],
      [2, 9, { op: 'rename', path: 'a', to: 'b' }, 'ok'],
      [3, 4, { op: 'stat', path: 'b' }, { type: 'file', size: 1 }],
      [5, 6, { op: 'stat', path: 'a' }, { type: 'file', size: 1 }],
    ],
  ],
  [
    'names that are linearizable each, but not together',
    'violation',
    [
      [0, 9, { op: 'create', path: 'a' }, 'ok'],
      [0, 9, { op: 'create', path: 'b' }, 'ok'],
      [1, 2, { op: 'list', path: '' }, { names: ['a'] }],
      [3, 4, { op: 'list', path: '' }, { names: ['b'] }],
    ],
  ],
  [
    'a directory that is removed while it has a name',
    'violation',
    [
      [0, 1, { op: 'mkdir', path: 'd' }, 'ok'],
      [2, 3, { op: 'create', path: 'd/x' }, 'ok'],
      [4, 5, { op: 'rmdir', path: 'd' }, 'ok'],
    ],
  ],
  [
    'what is written through one name is read through the other',
    'linearizable',
    [
      [0, 1, put('a', 'abc'), 'ok'],
      [2, 3, { op: 'link', path: 'a', to: 'b' }, 'ok'],
      [4, 5, { op: 'write', path: 'a', offset: 5, data: 'z' }, 'ok'],
      [6, 7, read('b'), { data: 'abc\0\0z' }],
      [6, 7, { op: 'stat', path: 'b' }, { type: 'file', size: 6 }],
      [8, 9, { op: 'truncate', path: 'b', size: 2 }, 'ok'],
      [10, 11, read('a'), { data: 'ab' }],
    ],
  ],
]

for (const [name, verdict, rows] of known) {
  t.test(name, async t => {
    const history = historyFrom(rows)
    const found = check(fileModel, history)
    t.equal(found.verdict, verdict, describeVerdict(found))
    t.equal(isLinearizableByForce(fileModel, history), verdict === 'linearizable', 'by force, too')
  })
}

t.test('what was drawn from an atomic file system is accepted', async t => {
  for (let seed = 0; seed < 60 * runs; seed++) {
    const rng = new Rng(seed)
    const shape = { clients: 1 + rng.below(8), operations: 200, unknownOneIn: rng.below(3) * 15 }
    const history = atomicHistory(rng, fileModel, drawFileInput, shape)
    const found = check(fileModel, history, { secondsMax: 20 })
    if (found.verdict !== 'linearizable') t.fail(`seed ${seed}: ${describeVerdict(found)}`)
  }
})

t.test('a read that fits at its begin only, and lasts to the end, is no hard case', async t => {
  for (let seed = 0; seed < 20; seed++) {
    const rng = new Rng(seed)
    const history = atomicHistory(rng, fileModel, drawFileInput, { clients: 10, operations: 500, unknownOneIn: 0 })
    const long = history.find(
      ({ input, output }) => input.op === 'read' && typeof output === 'object' && 'data' in output,
    )
    if (long === undefined) continue
    const stretched = history.map(o => (o === long ? { ...o, return: 1e6 } : o))
    const found = check(fileModel, stretched, { stepsMax: 100_000 })
    t.equal(found.verdict, 'linearizable', `seed ${seed}: ${describeVerdict(found)}`)
  }
})

t.test('small histories with a wrong answer: the same as by force', async t => {
  const counts = { linearizable: 0, violation: 0 }
  for (let seed = 0; seed < 3000 * runs; seed++) {
    const rng = new Rng(seed)
    const shape = { clients: 2 + rng.below(3), operations: 4 + rng.below(5), unknownOneIn: rng.below(5) }
    const drawn = atomicHistory(rng, fileModel, drawFileInput, shape)
    const history = rng.below(10) === 0 ? drawn : withSwappedAnswer(rng, drawn)
    if (history === undefined) continue
    const found = check(fileModel, history)
    const byForce = isLinearizableByForce(fileModel, history) ? 'linearizable' : 'violation'
    counts[byForce]++
    if (found.verdict !== byForce) t.fail(`seed ${seed}: by force ${byForce}, found ${describeVerdict(found)}`)
  }
  t.ok(counts.linearizable > 100 && counts.violation > 100, JSON.stringify(counts))
})

t.test('large histories with content that nobody wrote are rejected', async t => {
  let count = 0
  for (let seed = 0; seed < 30 * runs; seed++) {
    const rng = new Rng(seed)
    const history = atomicHistory(rng, fileModel, drawFileInput, { clients: 5, operations: 300, unknownOneIn: 40 })
    const reads = history.filter(({ input, output }) => input.op === 'read' && output !== undefined)
    if (reads.length === 0) continue
    const victim = reads[rng.below(reads.length)]
    const wrong = history.map(o => (o === victim ? { ...o, output: { data: 'nobody' } } : o))
    const found = check(fileModel, wrong, { secondsMax: 20 })
    count++
    if (found.verdict !== 'violation') t.fail(`seed ${seed}: ${describeVerdict(found)}`)
    else {
      const isStuck = found.stuck.some(
        ({ operation }) => operation.output === victim!.output || operation.input === victim!.input,
      )
      t.ok(isStuck, `seed ${seed}: the wrong read is among those that cannot be placed`)
    }
  }
  t.ok(count > 20)
})

t.test('a single register, with a model of its own', async t => {
  type Input = { readonly op: 'write'; readonly value: number } | { readonly op: 'read' }
  const register: Model<number, Input, number> = {
    initial: 0,
    apply: (state, input) => (input.op === 'read' ? { state, output: state } : { state: input.value, output: 0 }),
    key: String,
    matches: (a, b) => a === b,
  }
  const draw = (rng: Rng, number: number): Input =>
    rng.below(2) === 0 ? { op: 'read' } : { op: 'write', value: number + 1 }
  const rng = new Rng(1)
  const history = atomicHistory(rng, register, draw, { clients: 10, operations: 2000, unknownOneIn: 100 })
  t.equal(check(register, history).verdict, 'linearizable')
  // 25 writes of unknown outcome and a value that none of them wrote: every subset would be a state of its own
  const hard = atomicHistory(rng, register, draw, { clients: 25, operations: 300, unknownOneIn: 4 })
  const wrong = [...hard, { client: 'x', input: { op: 'read' } as Input, call: 1e6, return: 1e6 + 1, output: -1 }]
  t.equal(check(register, wrong, { stepsMax: 5000 }).verdict, 'undecided', 'a bound is a result of its own')
})

t.test('a history is kept as lines', async t => {
  const recorder = new Recorder<FileInput, FileOutput>()
  recorder.begin('c1', put('a', '1'), 0)('unknown', 5)
  const late = recorder.begin('c2', read('a'), 3)
  recorder.begin('c1', read('a'), 6)('none', 7)
  late({ output: { data: '1' } }, 8)
  recorder.begin('c1', put('b', 'never ended'), 9)
  const wanted: FileOperation[] = [
    { client: 'c1', input: put('a', '1'), call: 0 },
    { client: 'c2', input: read('a'), call: 3, return: 8, output: { data: '1' } },
    { client: 'c1', input: put('b', 'never ended'), call: 9 },
  ]
  t.strictSame(recorder.history(), wanted)

  const folder = mkdtempSync(join(tmpdir(), 'rkfs-history.'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'history.jsonl')
  saveLines(path, recorder.lines)
  t.strictSame(historyOf(loadLines(path)), wanted)

  const torn = parseLines<FileInput, FileOutput>(
    '{"client":"c","id":1,"call":1,"input":{"op":"read","path":"a"}}\n{"cli',
  )
  t.equal(torn.length, 1, 'a torn line at the end is left out')
  const line: HistoryLine<FileInput, FileOutput> = { client: 'c', id: 1, return: 1, outcome: 'unknown' }
  t.throws(() => historyOf([line]), /no call/)
})

t.test('a violation is told', async t => {
  const found = check(fileModel, historyFrom(known.find(([name]) => name === 'a stale read')![2]))
  const text = describeVerdict(found)
  t.match(text, 'of 3 operations 2 can be placed')
  t.match(text, '[4, 5] c2: {"op":"read","path":"a"} → {"data":"1"}   expected {"data":"2"}')
})
