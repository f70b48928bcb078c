import { allocatorSettings } from '../adapters/host/allocator.js'

/** A systemd unit that runs a home's node. */
export interface UnitOptions {
  readonly home: string
  /** The program and its first words, before `serve`. */
  readonly command: readonly string[]
  readonly scope: ServiceScope
  /** Whose node it is, where the unit is the system's and not root's. */
  readonly user?: string | undefined
}

export type ServiceScope = 'system' | 'user'

/** In which unit the home of a node stands, so that one is not taken for another's. */
export const homeMark = 'X-RkfsHome='

export function unitText({ home, command, scope, user }: UnitOptions): string {
  const start = [...command, 'serve', '--home', home].map(quoted).join(' ')
  const network = ['Wants=network-online.target', 'After=network-online.target']
  return [
    '# Written by `rkfs service install`, which also writes it anew; `rkfs service uninstall` removes it.',
    '[Unit]',
    `Description=rkfs node on ${home.replaceAll('%', '%%')}`,
    ...(scope === 'system' ? network : []),
    `RequiresMountsFor=${quoted(home)}`,
    // a node that cannot start (a wrong setting) is not started for ever
    'StartLimitIntervalSec=300',
    'StartLimitBurst=10',
    '',
    '[Service]',
    // ready when the channels are open and the mounts are there
    'Type=notify',
    ...Object.entries(allocatorSettings).map(([name, value]) => `Environment=${name}=${value}`),
    `ExecStart=${start}`,
    ...(user === undefined ? [] : [`User=${user}`]),
    'Restart=on-failure',
    'RestartSec=2',
    // a wrong setting does not get better by itself
    'RestartPreventExitStatus=2',
    // a long log takes its time
    'TimeoutStartSec=15min',
    'TimeoutStopSec=2min',
    // the node ends its own children, and unmounts
    'KillMode=mixed',
    'LimitNOFILE=65536',
    '',
    '[Install]',
    `WantedBy=${scope === 'system' ? 'multi-user.target' : 'default.target'}`,
    '',
    '[X-Rkfs]',
    `${homeMark}${home}`,
    '',
  ].join('\n')
}

/** A word as systemd.syntax(7) and systemd.service(5) read it. */
function quoted(word: string): string {
  const plain = word.replaceAll('%', '%%').replaceAll('$', '$$$$')
  return /^[\w@+=:,./%$-]+$/.test(plain) ? plain : `"${plain.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
}

/** The home that a unit was written for; undefined: it is none of ours. */
export function homeOfUnit(text: string): string | undefined {
  return text
    .split('\n')
    .find(line => line.startsWith(homeMark))
    ?.slice(homeMark.length)
}

/** `/sbin/mount.rkfs`, which mount(8) and so fstab and systemd call. */
export function helperText(command: readonly string[]): string {
  return [
    '#!/bin/sh',
    '# Written by `rkfs service install`.',
    `exec ${command.map(shellWord).join(' ')} mount-helper "$@"`,
    '',
  ].join('\n')
}

function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}
