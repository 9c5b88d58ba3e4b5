// Where an issuer keeps its keys, by its own discovery document (OpenID Connect Discovery, RFC 8414). Asked once, when the issuer is created and
// nobody said; through the guarded egress. What the document says of itself must be the issuer that was asked for.
import type { Parts } from '../context.ts';
import { Refusal } from '../refusal.ts';

const maxBytes = 256 * 1024;
const timeoutMs = 5_000;

/** The documents that may describe an issuer, in the order of OpenID Connect and then RFC 8414. */
function placesOf(issuer: string): string[] {
  const url = new URL(issuer);
  const path = url.pathname.replace(/\/+$/, '');
  return [
    `${url.origin}${path}/.well-known/openid-configuration`,
    `${url.origin}/.well-known/oauth-authorization-server${path}`,
  ];
}

const nothing = (): Refusal =>
  new Refusal('UPSTREAM_ERROR', 'The issuer has no discovery document that names its keys; set jwksUri', {
    reason: 'discovery_failed',
  });

/** The issuer's `jwks_uri`. */
export async function discoverKeys(egress: Pick<Parts['egress'], 'request'>, issuer: string): Promise<string> {
  if (!URL.canParse(issuer))
    throw new Refusal(
      'INVALID_REQUEST',
      'Invalid request: issuer: Is no URL that could be asked for its keys; set jwksUri',
      {
        details: { issues: [{ path: 'jwksUri', message: 'Is needed where the issuer is no URL' }] },
      },
    );
  for (const place of placesOf(issuer)) {
    const document = await read(egress, place);
    if (document === undefined) continue;
    const { issuer: said, jwks_uri: uri } = document;
    if (said !== issuer)
      throw new Refusal('UPSTREAM_ERROR', 'The discovery document is of another issuer; send its exact name', {
        reason: 'discovery_other_issuer',
      });
    if (typeof uri !== 'string') throw nothing();
    return uri;
  }
  throw nothing();
}

async function read(
  egress: Pick<Parts['egress'], 'request'>,
  url: string,
): Promise<Record<string, unknown> | undefined> {
  try {
    const answer = await egress.request('discovery', url, {
      method: 'GET',
      headers: { accept: 'application/json' },
      signal: AbortSignal.timeout(timeoutMs),
      maxBytes,
    });
    if (answer.status !== 200) return undefined;
    const document: unknown = JSON.parse(answer.body.toString('utf8'));
    return typeof document === 'object' && document !== null ? (document as Record<string, unknown>) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    if (!(error instanceof Error) || error.name !== 'EgressError') throw error;
    // The guard's sentences are written for people and quote nothing.
    throw new Refusal('UPSTREAM_UNREACHABLE', `The issuer's discovery document: ${error.message}`, {
      reason: 'discovery_unreachable',
    });
  }
}
