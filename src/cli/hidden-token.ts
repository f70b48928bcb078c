/** What looks like a token (`rkfs member invite`), of whatever version, whole or damaged. */
const token = /rkfs\d+-[^\s'",]+/g
const hidden = 'rkfs-token-hidden'

/** Text without the tokens in it: for messages that quote what was typed. */
export function withoutTokens(text: string): string {
  return text.replace(token, hidden)
}

/**
 * Takes tokens out of this process's entry in the process list. Setting the title overwrites the memory that
 * /proc/PID/cmdline shows (proc(5)); `process.argv` stays, since it is a copy. Everybody on the machine could read the
 * token until this line has run, so `main.ts` calls it before it loads anything.
 */
export function hideTokenArgument(): void {
  const [, , ...words] = process.argv
  if (words.some(word => word.search(token) !== -1)) process.title = withoutTokens(['rkfs', ...words].join(' '))
}
