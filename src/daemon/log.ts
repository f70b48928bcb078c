import { writeSync } from 'node:fs'
import { pino } from 'pino'
import type { StoreLog } from '../adapters/sqlite/failures.js'
import type { LogLevel } from './config.js'

/** The node's log. `fields.error` is written with its stack and causes. */
export interface Log {
  debug(message: string, fields?: Record<string, unknown>): void
  info(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
  error(message: string, fields?: Record<string, unknown>): void
  /** A log whose lines carry these fields, too. */
  child(fields: Record<string, unknown>): Log
}

/** JSON lines on standard error, or lines for people when `pretty`. Each line is written at once: a crash loses none. */
export function createLog(options: { level: LogLevel; pretty: boolean; descriptor?: number }): Log {
  const descriptor = options.descriptor ?? 2
  const write = (text: string): void => {
    try {
      writeSync(descriptor, text)
    } catch {
      // Whoever read the log is gone, or the disk is full: the node goes on without.
    }
  }
  const logger = pino(
    {
      level: options.level,
      base: { pid: process.pid },
      serializers: { error: pino.stdSerializers.err },
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    { write: options.pretty ? line => write(prettyLine(line)) : write },
  )
  return wrap(logger)
}

function wrap(logger: pino.Logger): Log {
  return {
    debug: (message, fields) => logger.debug(fields ?? {}, message),
    info: (message, fields) => logger.info(fields ?? {}, message),
    warn: (message, fields) => logger.warn(fields ?? {}, message),
    error: (message, fields) => logger.error(fields ?? {}, message),
    child: fields => wrap(logger.child(fields)),
  }
}

/** As the stores take it. */
export function storeLogOf(log: Log): StoreLog {
  return {
    info: (fields, message) => log.info(message, fields as Record<string, unknown>),
    warn: (fields, message) => log.warn(message, fields as Record<string, unknown>),
    error: (fields, message) => log.error(message, fields as Record<string, unknown>),
  }
}

/** A log that keeps nothing, for tests and tools. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
}

const levelNames: Record<number, string> = { 20: 'debug', 30: 'info', 40: 'WARN', 50: 'ERROR', 60: 'FATAL' }

function prettyLine(line: string): string {
  const { level, time, pid: _pid, msg, error, ...fields } = JSON.parse(line) as Record<string, unknown>
  const rest = Object.entries(fields).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  const failure = error as { stack?: string; message?: string } | undefined
  const stack = failure === undefined ? '' : `\n  ${failure.stack ?? failure.message ?? JSON.stringify(error)}`
  const clock = String(time).slice(11, 23)
  return `${clock} ${(levelNames[Number(level)] ?? '').padEnd(5)} ${String(msg)}${rest.length > 0 ? `  ${rest.join(' ')}` : ''}${stack}\n`
}
