/** SEED=n begins elsewhere; RUNS=n multiplies the inputs; FUZZ=all is the full amount. */
const chosen = process.env['SEED']
export const seed = chosen === undefined ? 1 : Number(chosen)
export const all = process.env['FUZZ'] === 'all'
const factor = Number(process.env['RUNS'] ?? (all ? 40 : 1))

/** How many runs there are of what takes `share` in the short form. */
export function runs(share: number): number {
  return Math.max(1, Math.round(share * factor))
}
