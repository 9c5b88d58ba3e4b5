// Which processes count as a child's own, and when they are too many. On made-up process tables; the real ones are in test/upstreams.
import { describe, expect, it } from 'vitest';
import { overuseOf } from './mcp-stdio-reasons.ts';
import { markedWith, membersOf, type ProcessStat, readProcesses } from './mcp-stdio-tree.ts';

const stat = (pid: number, ppid: number, group = pid): ProcessStat => ({
  pid,
  ppid,
  group,
  isZombie: false,
  rssBytes: 10,
  startedAt: String(pid),
});
const pids = (stats: readonly ProcessStat[]): number[] => stats.map(({ pid }) => pid).sort((a, b) => a - b);

describe('the members of a tree', () => {
  const all = [stat(1, 0), stat(10, 1), stat(11, 10, 10), stat(12, 11), stat(13, 1, 10), stat(20, 1), stat(21, 20, 20)];

  it('are the child, its descendants in whichever group, and its group under whichever parent', () => {
    expect(pids(membersOf(10, all))).toEqual([10, 11, 12, 13]);
  });

  it('are nobody else’s', () => {
    expect(pids(membersOf(20, all))).toEqual([20, 21]);
    expect(membersOf(99, all)).toEqual([]);
  });

  it('end where a table runs in a circle', () => {
    expect(pids(membersOf(5, [stat(5, 6), stat(6, 5)]))).toEqual([5, 6]);
  });
});

describe('the processes of this machine', () => {
  it('hold this one, with its parent and its memory', async () => {
    const own = (await readProcesses()).find(({ pid }) => pid === process.pid);
    expect(own).toMatchObject({ ppid: process.ppid, isZombie: false });
    expect(own?.rssBytes).toBeGreaterThan(10 * 1024 * 1024);
  });

  it('carry no mark that nobody was given', async () => {
    expect(await markedWith('no such mark', await readProcesses())).toEqual([]);
  });
});

describe('a tree takes too much', () => {
  const limits = { rssBytes: 30, processes: 4 };

  it.each([
    [3, undefined],
    [4, 'The server process used more than 0 MB of memory and was ended'],
  ])('of memory, all its processes together: %i', (count, words) => {
    const members = Array.from({ length: count }, (_, at) => stat(at, 0));
    expect(overuseOf(members, limits)).toBe(words);
  });

  it('of processes, however small they are', () => {
    const members = Array.from({ length: 5 }, (_, at) => ({ ...stat(at, 0), rssBytes: 0 }));
    expect(overuseOf(members, limits)).toBe('The server process started more than 4 processes and was ended');
  });
});
