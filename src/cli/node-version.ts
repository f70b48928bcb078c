/** The least that rkfs runs with, as in package.json. */
const least = [20, 19]

/** Which Node is needed, where this one is too old; plain words, and nothing that an old one would not understand. */
export function oldNodeWords(version: string): string | undefined {
  const [major, minor] = version.split('.').map(Number)
  if (major > least[0] || (major === least[0] && minor >= least[1])) return undefined
  return `this is Node.js ${version}, which is too old for rkfs: install Node.js ${least[0]}.${least[1]} or a later ${least[0]}.x (https://nodejs.org)`
}

/** As every other failure is told to a script that asked for JSON. */
export function failureAsJson(message: string): string {
  return JSON.stringify({ error: { code: 'failed', message, exitCode: 1 } })
}

export function refuseOldNode(): void {
  const words = oldNodeWords(process.versions.node)
  if (words === undefined) return
  process.stderr.write(`rkfs: ${words}\n`)
  if (process.argv.includes('--json')) process.stdout.write(`${failureAsJson(words)}\n`)
  process.exit(1)
}
