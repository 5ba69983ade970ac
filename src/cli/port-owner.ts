import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Longest command line shown. */
const COMMAND_CHARACTERS_MAX = 240;
const LISTEN = '0A';

export interface PortOwner {
  readonly pid: number;
  readonly command: string;
}

/** Who listens on a TCP port of this machine, where Linux tells and we may see it; undefined otherwise. */
export function portOwner(port: number): PortOwner | undefined {
  const inodes = listeningInodes(port);
  if (inodes.size === 0) return undefined;
  for (const pid of list('/proc').filter((name) => /^\d+$/.test(name))) {
    for (const descriptor of list(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${descriptor}`))?.[1];
      if (inode !== undefined && inodes.has(inode)) return { pid: Number(pid), command: commandOf(pid) };
    }
  }
  return undefined;
}

/** Lines such as `0: 0100007F:1BBD 00000000:0000 0A …`: address and port in hexadecimal, the state, and the inode as tenth. */
function listeningInodes(port: number): ReadonlySet<string> {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const found = new Set<string>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of text(table).split('\n').slice(1)) {
      const columns = line.trim().split(/\s+/);
      const inode = columns[9];
      if (columns[3] === LISTEN && columns[1]?.endsWith(`:${hex}`) === true && inode !== undefined) found.add(inode);
    }
  }
  return found;
}

function commandOf(pid: string): string {
  const command = text(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
  return command.length > COMMAND_CHARACTERS_MAX ? `${command.slice(0, COMMAND_CHARACTERS_MAX)}…` : command;
}

function text(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function linkOf(file: string): string {
  try {
    return readlinkSync(file);
  } catch {
    return '';
  }
}
