// Reads tap's output: one line for each test file, all of it for one that failed, and at the end `N passed, N failed`.
//   test-summary.mjs CHECKED     CHECKED: 0 if `npm run check` was well, otherwise it counts as one failure
import { mkdirSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

const checkFailed = process.argv[2] === '0' ? 0 : 1
const LINES_MAX = 300
const whole = []
let block = []
let files = 0
let failedFiles = 0
let totals

for await (const line of createInterface({ input: process.stdin })) {
  whole.push(line)
  const end = /^(ok|not ok) \d+ - (.*?)( # (?:time=(\S+)|(SKIP.*)))?( \{)?$/.exec(line)
  const total = /^# \{ total: \d+/.test(line) ? line : undefined
  if (total !== undefined) totals = total
  if (end === null) {
    block.push(line)
    continue
  }
  files++
  const [, result, file, , time] = end
  console.log(`${result === 'ok' ? 'ok    ' : 'FAILED'} ${file}${time === undefined ? '' : ` (${time})`}`)
  if (result !== 'ok') {
    failedFiles++
    const shown = block.filter(text => !/^\s*(ok \d+|1\.\.\d+|# time=)/.test(text) && text.trim() !== '')
    for (const text of shown.slice(-LINES_MAX)) console.log(`    ${text}`)
  }
  block = []
}
mkdirSync('.tap', { recursive: true })
writeFileSync('.tap/last.tap', whole.join('\n') + '\n')

const count = word => Number(new RegExp(`\\b${word}: (\\d+)`).exec(totals ?? '')?.[1] ?? 0)
if (totals === undefined) {
  for (const text of block.slice(-LINES_MAX)) console.log(`    ${text}`)
  console.log('tap did not come to its end (it was stopped, or did not start)')
}
if (checkFailed) console.log('FAILED npm run check (see above)')
if (count('skip') > 0) console.log(`${count('skip')} skipped`)
if (count('todo') > 0) console.log(`${count('todo')} fail that are known and open`)
// A file that fails without a failed assertion (a crash, a time-out) counts as one.
const failed = Math.max(count('fail'), failedFiles) + checkFailed + (totals === undefined || files === 0 ? 1 : 0)
console.log(`${count('pass')} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
