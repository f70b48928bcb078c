import type { FileOperation } from '../file-model.js'

/**
 * A copy in which the last possible read tells what an earlier one told, after another had already seen more of a file
 * that only grows; undefined if there is none.
 */
export function withStaleRead(history: readonly FileOperation[]): FileOperation[] | undefined {
  const reads = history.flatMap(operation => {
    const { input, output } = operation
    if (input.op !== 'read' || !input.path.startsWith('log-')) return []
    return typeof output === 'object' && 'data' in output ? [{ operation, path: input.path, data: output.data }] : []
  })
  for (const { operation: victim, path } of reads.toReversed()) {
    const before = reads.filter(read => read.path === path && read.operation.return! < victim.call)
    const most = Math.max(...before.map(({ data }) => data.length))
    const stale = before.find(({ data }) => data.length < most)
    if (stale !== undefined) {
      return history.map(operation =>
        operation === victim ? { ...operation, output: { data: stale.data } } : operation,
      )
    }
  }
  return undefined
}
