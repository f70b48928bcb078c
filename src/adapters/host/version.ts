import { readFileSync } from 'node:fs'

/** The version of this installation. `package.json` stands three levels up, from `src` and from `dist` alike. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
  return String((JSON.parse(text) as { version: unknown }).version)
}
