/** Checks a recorded history of files again: `npx tsx test/linearizability/check.ts FILE…` (JSON lines, `history.ts`). */
import { check } from './checker.js'
import { fileModel, type FileInput, type FileOutput } from './file-model.js'
import { historyOf, loadLines } from './history.js'
import { describeVerdict } from './report.js'

const files = process.argv.slice(2)
if (files.length === 0) {
  process.stderr.write('usage: check.ts FILE…\n')
  process.exit(2)
}
const history = historyOf(files.flatMap(file => loadLines<FileInput, FileOutput>(file)))
const found = check(fileModel, history)
process.stdout.write(`${history.length} operations: ${describeVerdict(found)}\n`)
process.exitCode = found.verdict === 'linearizable' ? 0 : 1
