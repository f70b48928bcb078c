import { spawn } from 'node:child_process'
import t from 'tap'
import { identify, isRunning, stillRuns } from '../../../src/adapters/host/process.js'
import { until } from '../../e2e/support/cluster.js'

t.test('a process that exits is there until the last of its threads is gone', async t => {
  const script =
    'import ctypes, sys, threading\n' +
    'threading.Thread(target=lambda: sys.stdin.read()).start()\n' +
    'ctypes.CDLL(None).pthread_exit(None)'
  const child = spawn('python3', ['-c', script], { stdio: ['pipe', 'ignore', 'inherit'] })
  const state = async (): Promise<string> => {
    const { readFileSync } = await import('node:fs')
    return /State:\s+(\S)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))![1]!
  }
  const found = identify(child.pid!)!
  await until('its first thread is a zombie', async () => (await state()) === 'Z')
  t.ok(stillRuns(found))
  t.ok(isRunning(found.pid))
  child.stdin.end()
  await until('it is gone', () => !stillRuns(found))
})

t.test('another process of the same number is not that one', async t => {
  const own = identify(process.pid)!
  t.ok(stillRuns(own))
  t.notOk(stillRuns({ ...own, startTicks: own.startTicks + 1 }))
})

t.test('a number that nobody has', async t => t.equal(identify(2 ** 30), undefined))
