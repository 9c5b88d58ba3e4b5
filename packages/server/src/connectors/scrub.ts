// Pure: takes injected secret values out of what an upstream says, in their common encodings. Exact matching only: guessing breaks good
// results. Values under 8 characters are left alone, they would match by accident.

const replacement = '[secret]';
const minimumLength = 8;

/** base64 text that must appear wherever `bytes` stand inside a longer encoded text, at each of the three alignments. */
function base64Cores(bytes: Buffer): string[] {
  const padded = Buffer.allocUnsafe(bytes.length + 2).fill(0, 0, 2);
  padded.set(bytes, 2);
  const cores: string[] = [];
  for (const lead of [0, 1, 2]) {
    // The first and last characters mix in bits of the neighbours.
    const from = lead === 0 ? 0 : lead + 1;
    const usable = Math.floor(((lead + bytes.length) * 8) / 6);
    const core = padded.toString('base64', 2 - lead).slice(from, usable);
    cores.push(core);
    if (core.includes('+') || core.includes('/')) cores.push(core.replaceAll('+', '-').replaceAll('/', '_'));
  }
  padded.fill(0);
  return cores;
}

const escaped = (text: string): string =>
  text.replace(/[\s\S]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
const upperEscapes = (text: string): string => text.replace(/\\u[0-9a-f]{4}/g, (c) => `\\u${c.slice(2).toUpperCase()}`);

/** Every form of a value. */
function encodings(value: string): string[] {
  const percent = encodeURIComponent(value);
  const json = JSON.stringify(value).slice(1, -1);
  const slashed = json.replaceAll('/', '\\/');
  const ascii = json.replace(/[^\x20-\x7e]/g, escaped);
  const unicode = escaped(value);
  const lowerPercent = percent.replace(/%[0-9A-F]{2}/g, (c) => c.toLowerCase());
  const everyPercent = Buffer.from(value, 'utf8').toString('hex').replace(/../g, '%$&');
  const texts = [json, slashed, ascii, upperEscapes(ascii), unicode, upperEscapes(unicode), percent, lowerPercent];
  return [...plainForms(value), ...texts, everyPercent, everyPercent.toUpperCase()];
}

const needsForm = /[^A-Za-z0-9*._-]/;

/** The forms that a text without `\` and `%` can hold: all others have one of the two, or are the value itself. */
function plainForms(value: string): string[] {
  const bytes = Buffer.from(value, 'utf8');
  const hex = bytes.toString('hex');
  const forms = [value, hex, hex.toUpperCase(), ...base64Cores(bytes)];
  bytes.fill(0);
  if (needsForm.test(value)) forms.push(new URLSearchParams([['', value]]).toString().slice(1));
  // What becomes of a long number when it is parsed as one.
  if (/^-?\d+(\.\d+)?$/.test(value)) forms.push(String(Number(value)));
  return forms;
}

/** Longest first: a form that contains another must go as a whole. */
function needlesOf(values: readonly string[], forms: (value: string) => string[]): string[] {
  const needles = new Set<string>();
  for (const value of values) for (const form of forms(value)) if (form.length >= minimumLength) needles.add(form);
  return [...needles].sort((a, b) => b.length - a.length);
}

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** Replaces every known form of the call's secrets in a text. */
export type Scrub = (text: string) => string;

const asIs: Scrub = (text) => text;

export function createScrub(values: Iterable<string>): Scrub {
  const long = [...values].filter((value) => value.length >= minimumLength);
  if (long.length === 0) return asIs;
  // Made when first needed: most answers are short and plain, and most forms cannot occur in them.
  const plain = once(() => needlesOf(long, plainForms));
  const all = once(() => needlesOf(long, encodings));
  return (text) => {
    // Nothing shorter than a needle can hold one.
    if (text.length < minimumLength) return text;
    const needles = text.includes('\\') || text.includes('%') ? all() : plain();
    let clean = text;
    for (const needle of needles) if (clean.includes(needle)) clean = clean.replaceAll(needle, replacement);
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
  if (typeof value === 'number') {
    const text = String(value);
    return scrub(text) === text ? value : replacement;
  }
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
  let entries: [string, unknown][] | undefined;
  const keys = Object.keys(value);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string;
    const entry = (value as Record<string, unknown>)[key];
    const cleanKey = scrub(key);
    const cleanEntry = walk(entry, scrub);
    if (cleanKey === key && cleanEntry === entry) continue;
    entries ??= Object.entries(value);
    entries[i] = [cleanKey, cleanEntry];
  }
  return entries === undefined ? value : Object.fromEntries(entries);
}
