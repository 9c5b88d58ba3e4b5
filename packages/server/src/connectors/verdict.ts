// Learns which protocol an upstream speaks, before any call depends on it. Two facts apart: `modern` and `legacy`, since a dual-era
// server's discovery lists modern versions only. A tools/call is never used as a probe. Kept per upstream key, in memory, dated.
import { legacyVersions, modernVersion } from '@mcp-valet/shared';
import { type Upstream, UpstreamFailure } from './backend.ts';
import type { RawCarrier } from './backends/mcp-http-raw.ts';

export interface Verdict {
  modern: boolean;
  /** What `initialize` taught: a session was minted, none is needed, or it was refused. Unknown while modern suffices. */
  legacy: 'session' | 'no_session' | 'refused' | 'unknown';
  /** The negotiated 2025 revision. */
  legacyVersion: string | null;
  capabilities: Record<string, unknown>;
  instructions: string | undefined;
  /** The discovery result, for clients that can start from it. */
  discover: Record<string, unknown> | undefined;
  learnedAt: number;
}

const probeTimeoutMs = 5_000;
const latestLegacy = '2025-11-25';

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const textOrUndefined = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/** Answers that say "I do not know this method or era", as opposed to "something is wrong with me or with you". */
function meansLegacy(failure: UpstreamFailure): boolean {
  // Only a modern server says these: our request was wrong, and a handshake would not make it right.
  if (failure.rpc?.code === -32020 || failure.rpc?.code === -32021) return false;
  if (failure.kind === 'wrong_era') return true;
  if (failure.kind === 'rpc')
    return failure.rpc?.code === -32601 || (failure.status !== null && failure.status >= 400 && failure.status < 500);
  return failure.kind === 'broken' && failure.status !== null && failure.status >= 400 && failure.status < 500;
}

export async function probe(
  raw: RawCarrier,
  upstream: Upstream,
  signal: AbortSignal,
  now: () => number,
): Promise<Verdict> {
  const limited = () => AbortSignal.any([signal, AbortSignal.timeout(probeTimeoutMs)]);
  const base: Verdict = {
    modern: false,
    legacy: 'unknown',
    legacyVersion: null,
    capabilities: {},
    instructions: undefined,
    discover: undefined,
    learnedAt: now(),
  };
  try {
    const { result } = await raw.request(
      upstream,
      { method: 'server/discover', params: {}, signal: limited() },
      { modern: true },
    );
    const versions = result['supportedVersions'];
    if (Array.isArray(versions) && versions.includes(modernVersion)) {
      const capabilities = isObject(result['capabilities']) ? result['capabilities'] : {};
      return {
        ...base,
        modern: true,
        capabilities,
        instructions: textOrUndefined(result['instructions']),
        discover: result,
      };
    }
  } catch (error) {
    if (!(error instanceof UpstreamFailure) || !meansLegacy(error)) throw error;
  }
  return { ...base, ...(await probeLegacy(raw, upstream, limited)) };
}

/** What `initialize` tells; leaves a minted session behind for the upstream to expire. */
export async function probeLegacy(
  raw: RawCarrier,
  upstream: Upstream,
  limited: () => AbortSignal,
): Promise<Pick<Verdict, 'legacy' | 'legacyVersion' | 'capabilities' | 'instructions'>> {
  const params = { protocolVersion: latestLegacy, capabilities: {}, clientInfo: { name: 'MCP Valet', version: '1' } };
  let answer: Awaited<ReturnType<RawCarrier['request']>>;
  try {
    answer = await raw.request(
      upstream,
      { method: 'initialize', params, signal: limited() },
      { modern: false, version: null },
    );
  } catch (error) {
    if (!(error instanceof UpstreamFailure) || !meansLegacy(error)) throw error;
    return { legacy: 'refused', legacyVersion: null, capabilities: {}, instructions: undefined };
  }
  const legacyVersion = textOrUndefined(answer.result['protocolVersion']) ?? latestLegacy;
  // It goes into a header of every request: only revisions that we speak.
  if (!(legacyVersions as readonly string[]).includes(legacyVersion)) {
    return { legacy: 'refused', legacyVersion: null, capabilities: {}, instructions: undefined };
  }
  const capabilities = isObject(answer.result['capabilities']) ? answer.result['capabilities'] : {};
  const facts = { legacyVersion, capabilities, instructions: textOrUndefined(answer.result['instructions']) };
  if (answer.sessionId !== undefined) return { legacy: 'session', ...facts };
  const era = { modern: false, version: legacyVersion } as const;
  try {
    await raw.notify(upstream, 'notifications/initialized', era, limited());
    await raw.request(upstream, { method: 'tools/list', params: {}, signal: limited() }, era);
    return { legacy: 'no_session', ...facts };
  } catch (error) {
    if (!(error instanceof UpstreamFailure)) throw error;
    // A server without tools refuses the list by protocol; that is not about sessions.
    if (error.kind === 'rpc' && error.rpc?.code === -32601) return { legacy: 'no_session', ...facts };
    // No session was minted and yet a bare request is refused: only a client that shakes hands per connection can talk to it.
    return { legacy: 'session', ...facts };
  }
}
