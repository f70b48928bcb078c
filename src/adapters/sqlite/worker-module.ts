/** The address of a worker's module beside `importer`: `.js` when built, `.ts` under a loader that reads TypeScript. */
export function workerModule(importer: string, name: string): URL {
  return new URL(`./${name}${importer.endsWith('.ts') ? '.ts' : '.js'}`, importer)
}
