// What an answer says about limits: `RateLimit` with `RateLimit-Policy`, their older forms, and `X-RateLimit-*`. Pure, the clock is given.
// Every malformed field is ignored, every number is clamped: these headers come from outside.

/** One policy as one answer tells it. */
export interface PolicyReport {
  /** `''` when the server names none. */
  name: string;
  /** How many more requests the window takes. */
  remaining: number | undefined;
  /** Milliseconds until the window gives something back; with nothing remaining, until the next request is admitted. */
  resetMs: number | undefined;
  limit: number | undefined;
  windowMs: number | undefined;
  /** It limits requests in flight, not requests over time. */
  concurrent: boolean;
}

/** A limit that an account made for some tools or connectors: the gateway names it by its id. It must not hold a user's other calls. */
export const isNarrow = (report: PolicyReport): boolean => report.name.startsWith('lim_');

/** A refusal by something that is not a limit of the whole user: the answer tells that there is room there, or names a narrow limit. */
export const isNarrowRefusal = (reports: readonly PolicyReport[]): boolean =>
  reports.length > 0 && !reports.some((report) => report.remaining === 0 && !isNarrow(report));

const maxHeaderLength = 2000;
const maxPolicies = 8;
export const maxWaitMs = 3_600_000;
const maxWindowMs = 30 * 86_400_000;
const maxCount = 1_000_000_000;
/** Larger `X-RateLimit-Reset` values are dates: seconds since 1970, or milliseconds. */
const firstEpochSeconds = 1_000_000_000;
const firstEpochMs = 1_000_000_000_000;

function count(text: string | null | undefined): number | undefined {
  return text != null && /^\d{1,15}$/.test(text) ? Math.min(Number(text), maxCount) : undefined;
}

function milliseconds(text: string | null | undefined, cap: number): number | undefined {
  return text != null && /^\d{1,15}(?:\.\d{1,9})?$/.test(text) ? Math.min(Number(text) * 1000, cap) : undefined;
}

interface Item {
  /** The quoted name, or the bare value of the older form. */
  name: string | undefined;
  bare: string | undefined;
  parameters: Map<string, string>;
}

/** `"user";r=3;t=12, "account";r=9` and `100;w=60`. */
function items(header: string | null): Item[] {
  if (header === null || header.length > maxHeaderLength) return [];
  const found: Item[] = [];
  for (const part of header.split(',').slice(0, maxPolicies)) {
    const [head = '', ...rest] = part.split(';').map((piece) => piece.trim());
    const name = /^"([A-Za-z0-9_.:-]{1,64})"$/.exec(head)?.[1];
    const bare = /^\d{1,15}$/.test(head) ? head : undefined;
    if (name === undefined && bare === undefined) continue;
    const parameters = new Map<string, string>();
    for (const piece of rest) {
      const at = piece.indexOf('=');
      if (at > 0) parameters.set(piece.slice(0, at), piece.slice(at + 1));
    }
    found.push({ name, bare, parameters });
  }
  return found;
}

function fromRateLimit(header: string | null, policies: readonly Item[]): PolicyReport[] {
  const named = items(header).filter((item) => item.name !== undefined);
  return named.map(({ name = '', parameters }) => {
    const policy = policies.find((each) => each.name === name)?.parameters;
    return {
      name,
      remaining: count(parameters.get('r')),
      resetMs: milliseconds(parameters.get('t'), maxWaitMs),
      limit: count(policy?.get('q')),
      windowMs: milliseconds(policy?.get('w'), maxWindowMs),
      concurrent: policy?.get('qu') === '"concurrent-requests"',
    };
  });
}

/** `limit=100, remaining=50, reset=5` in one field, or three fields, with or without `X-`. */
function fromOlderForms(headers: Headers, policies: readonly Item[], wallMs: number): PolicyReport[] {
  const inOne = (key: string) =>
    new RegExp(`(?:^|,)\\s*${key}=(\\d{1,15})\\s*(?:,|$)`).exec(combined ?? '')?.[1] ?? undefined;
  const combined = headers.get('ratelimit')?.slice(0, maxHeaderLength);
  const field = (key: string) =>
    inOne(key) ?? headers.get(`ratelimit-${key}`)?.trim() ?? headers.get(`x-ratelimit-${key}`)?.trim();
  const remaining = count(field('remaining'));
  const limit = count(field('limit')?.split(',')[0]?.trim());
  if (remaining === undefined && limit === undefined) return [];
  const window = policies.find((each) => count(each.bare) === limit)?.parameters.get('w');
  return [
    {
      name: '',
      remaining,
      resetMs: resetOf(field('reset'), wallMs),
      limit,
      windowMs: milliseconds(window, maxWindowMs),
      concurrent: false,
    },
  ];
}

function resetOf(text: string | undefined, wallMs: number): number | undefined {
  const seconds = milliseconds(text, Number.MAX_SAFE_INTEGER);
  if (seconds === undefined) return undefined;
  const value = seconds / 1000;
  if (value < firstEpochSeconds) return Math.min(seconds, maxWaitMs);
  const at = value < firstEpochMs ? seconds : value;
  return Math.min(Math.max(0, at - wallMs), maxWaitMs);
}

/** All policies that an answer tells about; empty when it tells none. */
export function readPolicies(headers: Headers, wallMs: number): PolicyReport[] {
  const combined = headers.get('ratelimit');
  const policyHeader = headers.get('ratelimit-policy');
  const policies = policyHeader === null ? [] : items(policyHeader);
  const reports = combined === null ? [] : fromRateLimit(combined, policies);
  for (const { name, parameters } of policies) {
    // A limit on requests in flight is told once; it has no remaining.
    if (name === undefined || parameters.get('qu') !== '"concurrent-requests"') continue;
    if (reports.some((report) => report.name === name)) continue;
    const limit = count(parameters.get('q'));
    reports.push({ name, remaining: undefined, resetMs: undefined, limit, windowMs: undefined, concurrent: true });
  }
  if (reports.some((report) => !report.concurrent)) return reports;
  return [...reports, ...fromOlderForms(headers, policies, wallMs)];
}
