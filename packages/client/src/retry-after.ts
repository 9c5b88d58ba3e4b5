// When a server says to come back: three headers, every malformed value ignored. Pure, the clock is given.

const maxWaitMs = 3_600_000;

const valid = (ms: number): number | undefined =>
  Number.isFinite(ms) && ms >= 0 ? Math.min(ms, maxWaitMs) : undefined;

/** Plain decimal digits only: `Number` would also take `0x10`, `1e9`, blanks and the empty string. */
const decimal = (text: string): number | undefined =>
  /^\d{1,15}(?:\.\d{1,9})?$/.test(text) ? Number(text) : undefined;

function fromRetryAfter(text: string, nowMs: number): number | undefined {
  const seconds = decimal(text);
  if (seconds !== undefined) return valid(seconds * 1000);
  // An HTTP-date begins with a weekday; Date.parse alone would read `garbage 5` as a date.
  if (!/^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)/.test(text)) return undefined;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : valid(Math.max(0, at - nowMs));
}

/** `"user";r=0;t=12`: `t` counts only when nothing is left (`r` = 0). */
function fromRateLimit(text: string): number | undefined {
  let wait: number | undefined;
  for (const policy of text.split(',')) {
    const parameters = new Map(
      policy.split(';').map((part) => part.trim().split('=', 2) as [string, string | undefined]),
    );
    if (parameters.get('r') !== '0') continue;
    const seconds = decimal(parameters.get('t') ?? '');
    if (seconds !== undefined) wait = Math.max(wait ?? 0, seconds * 1000);
  }
  return wait === undefined ? undefined : valid(wait);
}

/** Milliseconds the server asked for: `retry-after-ms`, else `Retry-After`, else `RateLimit`. */
export function retryAfterMs(headers: Headers, nowMs: number): number | undefined {
  const exact = decimal(headers.get('retry-after-ms')?.trim() ?? '');
  if (exact !== undefined) return valid(exact);
  const after = fromRetryAfter(headers.get('retry-after')?.trim() ?? '', nowMs);
  return after ?? fromRateLimit(headers.get('ratelimit') ?? '');
}

/** Name of the exhausted policy in `RateLimit`, for `RateLimitError.policy`. */
export function exhaustedPolicy(headers: Headers): string | undefined {
  for (const policy of (headers.get('ratelimit') ?? '').split(',')) {
    const found = /^\s*"([a-z0-9_.:-]{1,64})"(?=.*;\s*r=0(?:;|\s|$))/i.exec(policy);
    if (found) return found[1];
  }
  return undefined;
}
