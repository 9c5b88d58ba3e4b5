// Pure: takes injected secret values out of what an upstream says, in their common encodings. Exact matching only: guessing breaks good
// results. Values under 8 characters are left alone, they would match by accident.

const replacement = '[secret]';
const minimumLength = 8;

/** base64 text that must appear wherever `bytes` stand inside a longer encoded text, at each of the three alignments. */
function base64Cores(bytes: Buffer): string[] {
  return [0, 1, 2].flatMap((lead) => {
    const encoded = Buffer.concat([Buffer.alloc(lead), bytes])
      .toString('base64')
      .replace(/=+$/, '');
    // The first and last characters mix in bits of the neighbours.
    const from = lead === 0 ? 0 : lead + 1;
    const usable = Math.floor(((lead + bytes.length) * 8) / 6);
    const core = encoded.slice(from, usable);
    return [core, core.replaceAll('+', '-').replaceAll('/', '_')];
  });
}

const escaped = (text: string): string =>
  text.replace(/[\s\S]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
const upperEscapes = (text: string): string => text.replace(/\\u[0-9a-f]{4}/g, (c) => `\\u${c.slice(2).toUpperCase()}`);

function encodings(value: string): string[] {
  const bytes = Buffer.from(value, 'utf8');
  const percent = encodeURIComponent(value);
  const json = JSON.stringify(value).slice(1, -1);
  const form = new URLSearchParams([['', value]]).toString().slice(1);
  const slashed = json.replaceAll('/', '\\/');
  const ascii = json.replace(/[^\x20-\x7e]/g, escaped);
  const unicode = escaped(value);
  const hex = bytes.toString('hex');
  const lowerPercent = percent.replace(/%[0-9A-F]{2}/g, (c) => c.toLowerCase());
  const everyPercent = hex.replace(/../g, '%$&');
  const texts = [
    value,
    json,
    slashed,
    ascii,
    upperEscapes(ascii),
    unicode,
    upperEscapes(unicode),
    form,
    percent,
    lowerPercent,
  ];
  // What becomes of a long number when it is parsed as one.
  const number = /^-?\d+(\.\d+)?$/.test(value) ? [String(Number(value))] : [];
  return [...texts, everyPercent, everyPercent.toUpperCase(), hex, hex.toUpperCase(), ...number, ...base64Cores(bytes)];
}

/** Replaces every known form of the call's secrets in a text. */
export type Scrub = (text: string) => string;

const asIs: Scrub = (text) => text;

export function createScrub(values: Iterable<string>): Scrub {
  const needles = new Set<string>();
  for (const value of values) {
    if (value.length < minimumLength) continue;
    for (const form of encodings(value)) if (form.length >= minimumLength) needles.add(form);
  }
  if (needles.size === 0) return asIs;
  // Longest first: a form that contains another must go as a whole.
  const ordered = [...needles].sort((a, b) => b.length - a.length);
  return (text) => {
    let clean = text;
    for (const needle of ordered) if (clean.includes(needle)) clean = clean.replaceAll(needle, replacement);
    return clean;
  };
}

/** Scrubs every string of a parsed JSON value, keys included. Returns the same object when nothing matched. */
export function scrubValue<T>(value: T, scrub: Scrub): T {
  if (scrub === asIs) return value;
  return walk(value, scrub) as T;
}

function walk(value: unknown, scrub: Scrub): unknown {
  if (typeof value === 'string') return scrub(value);
  // A secret of digits may come back as a number.
  if (typeof value === 'number') return scrub(String(value)) === String(value) ? value : replacement;
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) {
    let copy: unknown[] | undefined;
    for (let i = 0; i < value.length; i++) {
      const clean = walk(value[i], scrub);
      if (clean !== value[i]) {
        copy ??= [...value];
        copy[i] = clean;
      }
    }
    return copy ?? value;
  }
  let changed = false;
  const entries = Object.entries(value).map(([key, entry]): [string, unknown] => {
    const cleanKey = scrub(key);
    const cleanEntry = walk(entry, scrub);
    if (cleanKey !== key || cleanEntry !== entry) changed = true;
    return [cleanKey, cleanEntry];
  });
  return changed ? Object.fromEntries(entries) : value;
}
