// Tables that scroll inside their card on narrow screens, and the button for the next page of a list.
import type { List, Page } from '@mcp-valet/client';
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { noteError } from '../gateway.ts';
import { type Load, useLoad } from '../load.ts';
import { exactTime, relativeTime } from '../words.ts';
import { Failed } from './page.tsx';

export function Table(props: { caption: string; heads: readonly string[]; children: ComponentChildren }) {
  const { caption, heads, children } = props;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <section class="table-wrap" tabIndex={0} aria-label={caption}>
      <table>
        <caption class="hidden">{caption}</caption>
        <thead>
          <tr>
            {heads.map((head) => (
              <th key={head} scope="col">
                {head || <span class="hidden">Actions</span>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </section>
  );
}

export function Time({ at }: { at: string | null }) {
  if (at === null) return <span class="muted">–</span>;
  return (
    <time dateTime={at} title={exactTime(at)} class="nowrap">
      {relativeTime(at)}
    </time>
  );
}

export interface Paged<T> {
  items: readonly T[];
  last: Page<T>;
}

/** The first page of a list; `More` adds the next ones. */
export function usePages<T>(read: () => List<T>, inputs: readonly unknown[]) {
  const [more, setMore] = useState<{ of: Page<T>; items: readonly T[]; last: Page<T> }>();
  const first: Load<Page<T>> = useLoad(async () => read(), inputs);
  const page = first.data;
  const added = page !== undefined && more?.of === page ? more : undefined;
  const data: Paged<T> | undefined =
    page === undefined ? undefined : { items: [...page.items, ...(added?.items ?? [])], last: added?.last ?? page };
  const add = async (): Promise<void> => {
    if (page === undefined || data === undefined) return;
    const next = await data.last.next();
    setMore({ of: page, items: [...(added?.items ?? []), ...next.items], last: next });
  };
  return { ...first, data, add };
}

export function More({ paged, add }: { paged: Paged<unknown>; add: () => Promise<void> }) {
  const [error, setError] = useState<unknown>(undefined);
  if (!paged.last.hasMore) return null;
  const press = () => {
    add().catch((failure: unknown) => {
      noteError(failure);
      setError(failure);
    });
  };
  return (
    <div class="row between card">
      {error !== undefined && <Failed error={error} />}
      <span class="muted small">
        {paged.items.length} shown{paged.last.total === undefined ? '' : ` of ${paged.last.total}`}
      </span>
      <button type="button" class="button" onClick={press}>
        Show more
      </button>
    </div>
  );
}
