import { Worker } from 'node:worker_threads'

/**
 * Starts a worker from the module beside this one. From TypeScript sources (tests under tsx) the worker must be given
 * the loader by hand: on Node 20 it does not take it over from the process.
 */
export function startWorker(name: 'reader' | 'notifier', workerData: unknown): Worker {
  if (!import.meta.url.endsWith('.ts')) return new Worker(new URL(`./${name}.js`, import.meta.url), { workerData })
  const module = JSON.stringify(new URL(`./${name}.ts`, import.meta.url).href)
  const code = `import('tsx/esm/api').then(tsx => { tsx.register(); return import(${module}) })`
  return new Worker(code, { workerData, eval: true })
}
