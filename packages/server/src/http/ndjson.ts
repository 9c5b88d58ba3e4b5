// A list as lines: every matching row, a JSON object each, read page by page, each page in a short transaction of its own.
// Memory holds one page: the next is read when the caller has taken the last. A caller who goes away ends it with the page that is being read.
// Failure: what fails before the first line is an ordinary answer; later the connection is cut, so that half a list cannot pass for a whole one.
import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';

export const linesType = 'application/x-ndjson';
/** The largest page that a list gives. */
export const linesPerPage = 1_000;

export interface LinesPage {
  items: readonly unknown[];
  nextCursor: string | null;
}

/** Whether the caller asks for lines: named, and not refused by `q=0`. */
export function wantsLines(accept: string | undefined): boolean {
  return (accept ?? '').split(',').some((part) => {
    const [type = '', ...parameters] = part.split(';').map((piece) => piece.trim().toLowerCase());
    return type === linesType && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
  });
}

const textOf = ({ items }: LinesPage): string => items.map((item) => `${JSON.stringify(item)}\n`).join('');

export async function sendLines(
  reply: FastifyReply,
  read: (cursor: string | undefined) => Promise<LinesPage>,
): Promise<FastifyReply> {
  const first = await read(undefined);
  async function* pages(): AsyncGenerator<string> {
    for (let page = first; ; page = await read(page.nextCursor ?? undefined)) {
      if (page.items.length > 0) yield textOf(page);
      if (page.nextCursor === null) return;
    }
  }
  return reply.type(`${linesType}; charset=utf-8`).send(Readable.from(pages(), { highWaterMark: 1 }));
}
