// Makes large REST results fit for a model: the one array that dominates a reply is shown in part. Pure; when it is switched off is the
// caller's decision. Shapes and numbers: the contract page, "Sizing of REST results".
import { isObject } from './document.ts';

const wholeUpTo = 25;
const partUpTo = 50;
const sampleCount = 5;
const maxDepth = 3;

/** The body itself, or what is shown instead of it. */
export function sizeResult(body: unknown): unknown {
  const found = dominantArray(body);
  if (found === undefined || found.array.length <= wholeUpTo) return body;
  const { array, path } = found;
  const count = array.length;
  const hints = pagingHints(body, 0, '');
  const where = path === '' ? 'The reply' : `${path} of the reply`;
  if (count <= partUpTo) {
    const next =
      hints.length === 0 ? 'Use paging parameters of this action for the rest.' : `For the rest: ${hints.join(', ')}.`;
    return {
      data: array.slice(0, wholeUpTo),
      metadata: {
        originalCount: count,
        displayedCount: wholeUpTo,
        truncated: true,
        paginationHint: `${where} has ${count} entries, the first ${wholeUpTo} are shown. ${next}`,
      },
    };
  }
  const fields = fieldsOf(array);
  return {
    needsRefinement: true,
    message: `${where} has ${count} entries: too many to show.`,
    guidance: 'Ask for less: filter by what you are looking for, or read page by page.',
    suggestions: [
      'Use the filter, search or date parameters of this action.',
      'Use a limit or page size of at most 25.',
      ...(hints.length === 0 ? [] : [`Go on from where this reply ends: ${hints.join(', ')}.`]),
    ],
    searchInstructions:
      fields.length === 0
        ? 'Look at the parameters of this action for a filter.'
        : `Entries have the fields ${fields.join(', ')}: look for parameters of this action that filter by them.`,
    samples: array.slice(0, sampleCount),
  };
}

interface Found {
  array: unknown[];
  path: string;
}

/** The array that makes up more than half of the reply. */
function dominantArray(body: unknown): Found | undefined {
  if (Array.isArray(body)) return { array: body, path: '' };
  if (!isObject(body)) return undefined;
  const candidates: Found[] = [];
  collect(body, '', 0, candidates);
  // Sizes are only worth measuring when something could be cut.
  if (!candidates.some(({ array }) => array.length > wholeUpTo)) return undefined;
  const sized = candidates.map((found) => ({ found, size: JSON.stringify(found.array).length }));
  const largest = sized.reduce((a, b) => (b.size > a.size ? b : a));
  return largest.size * 2 > JSON.stringify(body).length ? largest.found : undefined;
}

function collect(value: Record<string, unknown>, path: string, depth: number, candidates: Found[]): void {
  for (const [name, entry] of Object.entries(value)) {
    const at = path === '' ? name : `${path}.${name}`;
    if (Array.isArray(entry)) candidates.push({ array: entry, path: at });
    else if (isObject(entry) && depth < maxDepth) collect(entry, at, depth + 1, candidates);
  }
}

const pagingName = /(cursor|page_?token|next|continuation|has_?more)/i;

/** What the reply says about going on, such as `response_metadata.next_cursor = dGVhbQ==`. */
function pagingHints(value: unknown, depth: number, path: string): string[] {
  if (!isObject(value) || depth > maxDepth) return [];
  return Object.entries(value)
    .flatMap(([name, entry]) => {
      const at = path === '' ? name : `${path}.${name}`;
      if (isObject(entry)) return pagingHints(entry, depth + 1, at);
      const isShort = (typeof entry === 'string' && entry !== '' && entry.length <= 500) || typeof entry === 'boolean';
      return isShort && pagingName.test(name) ? [`${at} = ${String(entry)}`] : [];
    })
    .slice(0, 5);
}

const fieldsOf = (array: readonly unknown[]): string[] =>
  [...new Set(array.slice(0, sampleCount).flatMap((entry) => (isObject(entry) ? Object.keys(entry) : [])))].slice(
    0,
    12,
  );
