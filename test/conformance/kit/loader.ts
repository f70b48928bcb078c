/** For processes that run TypeScript, wherever they start: `--import tsx` is looked for from their working directory. */
export const loader: readonly string[] = ['--import', import.meta.resolve('tsx')]
