/** Results go to standard output; hints, progress and errors to standard error. */
export function say(text: string): void {
  process.stdout.write(text + '\n')
}

export function hint(text: string): void {
  process.stderr.write(text + '\n')
}

/** Text from a file, a peer or the disk, made harmless for a terminal: control characters as `\xNN`. */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, c => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

/** Rows as columns of equal width, two spaces apart; columns of which every cell is empty are left out. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const columns = header.map((_, i) => i).filter(i => rows.length === 0 || rows.some(row => row[i] !== ''))
  const width = (i: number): number => Math.max(header[i]!.length, ...rows.map(row => row[i]!.length))
  const widths = columns.map(width)
  const line = (row: readonly string[]): string =>
    columns
      .map((column, i) => row[column]!.padEnd(widths[i]!))
      .join('  ')
      .trimEnd()
  return [line(header), ...rows.map(row => line(row.map(printable)))]
}

export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let value = count
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

export function duration(seconds: number): string {
  if (seconds < 60) return `${Math.floor(seconds)}s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${Math.floor(seconds % 60)}s`
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}h ${Math.floor((seconds % 3600) / 60)}m`
  return `${Math.floor(seconds / 86400)}d ${Math.floor((seconds % 86400) / 3600)}h`
}

/** `one entry`, `2 entries`: a count with its noun. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}
