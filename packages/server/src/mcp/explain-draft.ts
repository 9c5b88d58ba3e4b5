// A question by drafted rules: whoever may save them may ask what they would come to. The draft takes the place of the saved rules in the
// server that is judged, and in nothing else: it is not saved, not cached and not told to anybody.
import { contract } from '@mcp-valet/shared';
import { assertAccess } from '../access.ts';
import type { Ctx } from '../context.ts';
import type { ServerRecord } from '../identity/records.ts';
import { notFound } from '../refusal.ts';
import type { Question } from './explain-caller.ts';

type Drafted = Pick<Question, 'serverId' | 'draft'>;

/** Throws what saving the draft would be refused with. */
export async function assertMayDraft({ parts, principal }: Ctx, { serverId = '', draft }: Drafted): Promise<void> {
  if (draft === undefined) return;
  assertAccess(principal, 'servers.update', contract.servers.update);
  if ((await parts.directory.server(principal.accountId, serverId)) === undefined) throw notFound('Server');
}

/** The server with the drafted rules in force. */
export const withDraft = (server: ServerRecord | null, { draft }: Drafted): ServerRecord | null =>
  server === null || draft === undefined ? server : { ...server, restrictions: draft.restrictions };
