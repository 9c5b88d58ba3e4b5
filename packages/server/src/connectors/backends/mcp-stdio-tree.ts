// Which processes belong to a child: descendants, its process group, and whoever carries its mark in the environment. Reads /proc; where
// there is none, only the group is known. Starts nothing.
import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { setImmediate as yieldToOthers } from 'node:timers/promises';

export interface ProcessStat {
  pid: number;
  ppid: number;
  group: number;
  isZombie: boolean;
  rssBytes: number;
  /** With the pid it names a process for good: pids are used again. */
  startedAt: string;
}

/** Set in the environment of every child, so that a grandchild that left the process group is found. */
export const markName = 'MCP_VALET_PROCESS';

const pageBytes = 4096;
const filesPerTurn = 64;

async function pids(): Promise<string[]> {
  try {
    return (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  } catch {
    // No /proc on this system.
    return [];
  }
}

/** A process may end while it is looked at. */
function readOrNothing(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** These files are memory: reading one takes microseconds, handing it to another thread and back many times that. */
async function readAll(files: readonly string[]): Promise<string[]> {
  const texts: string[] = [];
  for (const file of files) {
    texts.push(readOrNothing(file));
    if (texts.length % filesPerTurn === 0) await yieldToOthers();
  }
  return texts;
}

function parseStat(text: string): ProcessStat | undefined {
  // The name in parentheses may hold anything, so the fields are counted from its end.
  const from = text.lastIndexOf(')');
  if (from === -1) return undefined;
  const fields = text.slice(from + 2).split(' ');
  return {
    pid: Number.parseInt(text, 10),
    ppid: Number(fields[1]),
    group: Number(fields[2]),
    isZombie: fields[0] === 'Z' || fields[0] === 'X',
    rssBytes: Number(fields[21]) * pageBytes,
    startedAt: fields[19] ?? '',
  };
}

/** All processes that can be seen, without those that have ended and only wait to be collected. */
export async function readProcesses(): Promise<ProcessStat[]> {
  const texts = await readAll((await pids()).map((pid) => `/proc/${pid}/stat`));
  return texts.map(parseStat).filter((stat): stat is ProcessStat => stat !== undefined && !stat.isZombie);
}

/** `root`, its descendants and the members of its process group. */
export function membersOf(root: number, all: readonly ProcessStat[]): ProcessStat[] {
  const children = new Map<number, ProcessStat[]>();
  for (const stat of all) children.set(stat.ppid, [...(children.get(stat.ppid) ?? []), stat]);
  const found = new Map<number, ProcessStat>();
  const queue = all.filter(({ pid, group }) => pid === root || group === root);
  for (let stat = queue.pop(); stat !== undefined; stat = queue.pop()) {
    if (found.has(stat.pid)) continue;
    found.set(stat.pid, stat);
    queue.push(...(children.get(stat.pid) ?? []));
  }
  return [...found.values()];
}

/** Processes that were started with this mark, however they have detached themselves since. */
export async function markedWith(mark: string, all: readonly ProcessStat[]): Promise<ProcessStat[]> {
  const entry = `${markName}=${mark}`;
  const environments = await readAll(all.map(({ pid }) => `/proc/${pid}/environ`));
  return all.filter((_, at) => environments[at]?.split('\0').includes(entry));
}
