// Runs the table on a directory:
//   npx tsx test/conformance/run.ts DIR [--group GROUP]… [--case TEXT] [--jobs N] [--json] [--times] [--large] [--keep] [--list]
import { spawnSync } from 'node:child_process'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { describe, runCases } from './runner.js'
import { table } from './table.js'

const removalSeconds = 120
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    group: { type: 'string', multiple: true },
    case: { type: 'string' },
    jobs: { type: 'string', default: '1' },
    json: { type: 'boolean' },
    times: { type: 'boolean' },
    large: { type: 'boolean' },
    keep: { type: 'boolean' },
    list: { type: 'boolean' },
  },
})

const indexes = table.flatMap(({ group, name }, index) =>
  (values.group?.includes(group) ?? true) && (values.case === undefined || name.includes(values.case)) ? [index] : [],
)

if (values.list) {
  for (const index of indexes) {
    const { group, name, rule } = table[index]!
    console.log(`${group}: ${name} [${rule}]`)
  }
  console.log(`${indexes.length} cases`)
} else if (positionals.length !== 1 || indexes.length === 0) {
  console.error(
    'usage: run.ts DIR [--group GROUP]… [--case TEXT] [--jobs N] [--json] [--times] [--large] [--keep] [--list]',
  )
  process.exitCode = 2
} else {
  await main(resolve(positionals[0]!))
}

async function main(directory: string): Promise<void> {
  const base = join(directory, `conformance-${process.pid}`)
  try {
    const reports = await runCases({ base, indexes, jobs: Number(values.jobs), large: values.large ?? false })
    if (values.json) {
      for (const report of reports) console.log(JSON.stringify({ ...table[report.index], ...report }))
    } else {
      console.log(describe(reports))
    }
    if (values.times) {
      const slowest = reports.toSorted((a, b) => (b.seconds ?? 0) - (a.seconds ?? 0)).slice(0, 20)
      for (const { index, seconds } of slowest)
        console.log(`${seconds?.toFixed(3)} s ${table[index]!.group}: ${table[index]!.name}`)
      console.log(`${reports.reduce((sum, report) => sum + (report.seconds ?? 0), 0).toFixed(1)} s in all`)
    }
    process.exitCode = reports.some(report => report.outcome === 'failed') ? 1 : 0
  } finally {
    if (!values.keep) spawnSync('rm', ['-rf', base], { timeout: removalSeconds * 1000, killSignal: 'SIGKILL' })
  }
}
