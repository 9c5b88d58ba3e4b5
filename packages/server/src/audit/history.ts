// What one user did and what was done to it: calls and events merged by time, newest first.
// Each of the two is read along its own sequence, and a cursor holds a place in both. So a page ends where the next begins, whatever is written
// meanwhile and however close two times are.
import type { Contract, RouteReply } from '@mcp-valet/shared';
import { countCalls, readCalls, shownCall } from '../calls/store.ts';
import type { Handler } from '../context.ts';
import { closePage, openPage, rowsToRead } from '../page.ts';
import { getUser } from '../users/store.ts';
import { shownEvent } from './shown.ts';
import { countEventsOf, readEventsOf } from './store.ts';

type Route = Contract['users']['history'];
type Entry = RouteReply<Route>['history'][number];

/** Before everything: a cursor's part that was not used yet. */
const top = 999_999_999_999_999;

interface Placed {
  entry: Entry;
  atMs: number;
  /** The places in both sequences once this entry is taken. */
  places: [calls: number, events: number];
}

/** Takes from either list what is newer; of two at one time the event, which tells of what followed. */
function merge(calls: readonly { seq: number; entry: Entry; atMs: number }[], events: typeof calls): Placed[] {
  const merged: Placed[] = [];
  const places: [number, number] = [top, top];
  for (let c = 0, e = 0; c < calls.length || e < events.length; ) {
    const call = calls[c];
    const event = events[e];
    const isCall = event === undefined || (call !== undefined && call.atMs > event.atMs);
    const next = isCall ? call : event;
    if (next === undefined) break;
    places[isCall ? 0 : 1] = next.seq;
    if (isCall) c++;
    else e++;
    merged.push({ entry: next.entry, atMs: next.atMs, places: [...places] });
  }
  return merged;
}

export const history: Handler<Route> = async ({ params, query }, ctx) => {
  const { accountId } = ctx.principal;
  const user = await getUser(ctx.db, accountId, params.username);
  const page = openPage('history', ['sequence', 'sequence'], query, !ctx.isExport);
  const [beforeCall = top, beforeEvent = top] = (page.after ?? []).map(Number);
  const span = {
    from: query.from === undefined ? undefined : new Date(query.from),
    to: query.to === undefined ? undefined : new Date(query.to),
  };
  const skipped = page.after === undefined ? page.offset : 0;
  const limit = rowsToRead(page) + skipped;
  const wanted = { ...span, userId: user.id };
  const calls = await readCalls(ctx.db, accountId, wanted, { before: beforeCall, limit, offset: 0 });
  const events = await readEventsOf(ctx.db, accountId, user.id, span, { before: beforeEvent, limit });
  const total = page.isCounted
    ? (await countCalls(ctx.db, accountId, wanted)) + (await countEventsOf(ctx.db, accountId, user.id, span))
    : 0;
  const merged = merge(
    calls.map((row) => ({
      seq: row.seq,
      atMs: row.at.getTime(),
      entry: { type: 'call', id: row.id, at: row.at.toISOString(), call: shownCall(row) },
    })),
    events.map((row) => ({
      seq: row.seq,
      atMs: row.at.getTime(),
      entry: { type: 'event', id: row.id, at: row.at.toISOString(), event: shownEvent(row) },
    })),
  );
  const placeOf = ({ places }: Placed) => [
    String(Math.min(places[0], beforeCall)),
    String(Math.min(places[1], beforeEvent)),
  ];
  const { rows, facts } = closePage(page, merged.slice(skipped), total, placeOf);
  return { history: rows.map(({ entry }) => entry), ...facts };
};
