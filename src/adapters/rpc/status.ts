import { status, type ServiceError } from '@grpc/grpc-js'

import { RkfsError, messageOf, type ErrorCode } from '../../base/errors.js'

const toStatus: Record<ErrorCode, status> = {
  usage: status.INVALID_ARGUMENT,
  failed: status.INTERNAL,
  'no-quorum': status.ABORTED,
  refused: status.PERMISSION_DENIED,
  'not-member': status.UNAUTHENTICATED,
  'not-found': status.NOT_FOUND,
  exists: status.ALREADY_EXISTS,
  busy: status.RESOURCE_EXHAUSTED,
  corrupt: status.DATA_LOSS,
  timeout: status.DEADLINE_EXCEEDED,
  'too-many-files': status.UNAVAILABLE,
  unavailable: status.UNAVAILABLE,
  'disk-full': status.OUT_OF_RANGE,
  version: status.FAILED_PRECONDITION,
}

const toCode = new Map<status, ErrorCode>(
  (Object.keys(toStatus) as ErrorCode[]).map(code => [toStatus[code], code] as const),
)
toCode.set(status.UNAUTHENTICATED, 'refused')
toCode.set(status.CANCELLED, 'unavailable')
toCode.set(status.UNIMPLEMENTED, 'version')

/** What a call's error looks like to grpc-js: emitted on a server stream, or passed to a unary call's callback. */
export interface CallError {
  readonly name: string
  readonly message: string
  readonly code: status
  readonly details: string
}

export function callError(code: status, details: string): CallError {
  return { name: 'Error', message: details, code, details: details.slice(0, 1000) }
}

/** An error of ours as a call's status. What is not an `RkfsError` is told without details: it may hold secrets. */
export function callErrorOf(error: unknown): CallError {
  if (error instanceof RkfsError) return callError(toStatus[error.code], error.message)
  return callError(status.INTERNAL, 'internal error')
}

/** A call's error as one of ours, with the words of the other side. */
export function errorOfCall(error: unknown): RkfsError {
  if (error instanceof RkfsError) return error
  const { code, details } = error as Partial<ServiceError>
  if (code === undefined || details === undefined) return new RkfsError('failed', messageOf(error), { cause: error })
  return new RkfsError(toCode.get(code) ?? 'failed', plainDetails(details), { cause: error })
}

/** Takes away what grpc-js wraps around the cause of a failed connection. */
export function plainDetails(details: string): string {
  return details
    .replace(/^No connection established\. Last error: /, '')
    .replace(/^Error: /, '')
    .replace(/\. Resolution note: *$/, '')
    .replace(/ \(\d{4}-\d\d-\d\dT[\d:.]+Z\)$/, '')
    .trim()
}
