// Pure: why a process cannot start or has to end, in words for the one user who meets it.
import { UpstreamFailure } from '../backend.ts';
import type { StdioLimits } from './mcp-stdio-options.ts';
import type { ProcessStat } from './mcp-stdio-tree.ts';

export const endedByUs = 'The server process was ended by the gateway';

/** Nothing has run. */
export const unreachable = (words: string): UpstreamFailure => new UpstreamFailure('unreachable', 'no', { words });

export const noRoom = (who: string): UpstreamFailure =>
  new UpstreamFailure('rate_limited', 'no', {
    words: `${who} are at work; try again when a call has ended`,
    retryAfterMs: 1_000,
  });

/** What a tree of processes takes too much of, if anything. */
export function overuseOf(
  members: readonly ProcessStat[],
  { rssBytes, processes }: Pick<StdioLimits, 'rssBytes' | 'processes'>,
): string | undefined {
  const bytes = members.reduce((sum, member) => sum + member.rssBytes, 0);
  if (bytes > rssBytes) {
    const megabytes = Math.round(rssBytes / 1024 / 1024);
    return `The server process used more than ${megabytes} MB of memory and was ended`;
  }
  if (members.length > processes) return `The server process started more than ${processes} processes and was ended`;
  return undefined;
}
