import { Worker, type WorkerOptions } from 'node:worker_threads'

/** Starts a worker from a module beside `importer`: `.js` when built; `.ts` when the importer was loaded by tsx (tests). */
export function startModule(importer: string, name: string, options: WorkerOptions = {}): Worker {
  if (!importer.endsWith('.ts')) return new Worker(new URL(`./${name}.js`, importer), options)
  // Node 20 does not pass a loader that was registered in the main thread on to a worker.
  const register = import.meta.resolve('tsx/esm/api')
  const module = new URL(`./${name}.ts`, importer)
  const start = `import { register } from '${register}'; register(); await import('${module.href}')`
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(start)}`), { ...options, execArgv: [] })
}
