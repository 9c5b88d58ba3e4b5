// A strict reader of the Prometheus text format, version 0.0.4: whatever a scraper might stumble over throws.
// https://prometheus.io/docs/instrumenting/exposition_formats/

export interface Sample {
  name: string;
  labels: Readonly<Record<string, string>>;
  value: number;
}

export interface Family {
  name: string;
  help: string;
  type: string;
  samples: Sample[];
}

const name = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const sampleLine = new RegExp(`^(${name})(?:\\{(.*)\\})? (Na[nN]|[+-]?Inf|[+-]?[0-9.]+(?:e[+-]?[0-9]+)?)$`);
const labelPair = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)/y;
const suffixes: Readonly<Record<string, readonly string[]>> = {
  counter: [''],
  gauge: [''],
  histogram: ['_bucket', '_sum', '_count'],
  summary: ['', '_sum', '_count'],
};

function labelsOf(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (let at = 0; at < text.length; ) {
    labelPair.lastIndex = at;
    const found = labelPair.exec(text);
    if (found === null) throw new Error(`not a label: ${text.slice(at)}`);
    const [whole, label = '', value = ''] = found;
    if (Object.hasOwn(labels, label)) throw new Error(`label twice: ${text}`);
    labels[label] = value.replace(/\\([\\"n])/g, (_, char: string) => (char === 'n' ? '\n' : char));
    at += whole.length;
  }
  return labels;
}

function checkHistogram({ name: family, samples }: Family): void {
  const series = new Map<string, { last: number; lastBound: number; inf?: number; count?: number }>();
  for (const { name: of, labels, value } of samples) {
    const { le, ...rest } = labels;
    const key = JSON.stringify(Object.entries(rest).sort());
    const one = series.get(key) ?? { last: 0, lastBound: Number.NEGATIVE_INFINITY };
    series.set(key, one);
    if (of === `${family}_count`) one.count = value;
    if (of !== `${family}_bucket`) continue;
    const bound = le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le);
    if (!(bound > one.lastBound) || value < one.last) throw new Error(`buckets out of order: ${family}`);
    [one.last, one.lastBound] = [value, bound];
    if (le === '+Inf') one.inf = value;
  }
  for (const [key, { inf, count }] of series)
    if (inf === undefined || inf !== count) throw new Error(`buckets do not add up: ${family} ${key}`);
}

export function parseExposition(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  let current: Family | undefined;
  for (const line of text.slice(0, -1).split('\n')) {
    const meta = new RegExp(`^# (HELP|TYPE) (${name}) (.+)$`).exec(line);
    if (meta !== null) {
      const [, kind, family = '', rest = ''] = meta;
      if (kind === 'HELP') {
        if (families.has(family)) throw new Error(`family twice: ${family}`);
        current = { name: family, help: rest, type: '', samples: [] };
        families.set(family, current);
      } else {
        if (current?.name !== family || current.type !== '' || !(rest in suffixes))
          throw new Error(`bad type: ${line}`);
        current.type = rest;
      }
      continue;
    }
    if (line === '') continue;
    const found = sampleLine.exec(line);
    if (found === null || current === undefined) throw new Error(`not a sample: ${line}`);
    const [, of = '', labels = '', value = ''] = found;
    const family = current.name;
    if (!suffixes[current.type]?.some((suffix) => of === family + suffix))
      throw new Error(`sample of no family: ${line}`);
    const key = line.slice(0, line.lastIndexOf(' '));
    if (seen.has(key)) throw new Error(`series twice: ${key}`);
    seen.add(key);
    current.samples.push({ name: of, labels: labelsOf(labels), value: Number(value.replace('Inf', 'Infinity')) });
  }
  for (const family of families.values()) if (family.type === 'histogram') checkHistogram(family);
  return families;
}

/** The sum over all samples of the family that have these labels. */
export function total(families: Map<string, Family>, family: string, labels: Record<string, string> = {}): number {
  return (families.get(family)?.samples ?? [])
    .filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
    .reduce((sum, { value }) => sum + value, 0);
}
