// The short cut of the gate for plain 2025-era requests against the SDK's classifier: where it says yes, the classifier says the same.
import { envelopeKeys, legacyVersions, modernVersion } from '@mcp-valet/shared';
import { classifyInboundRequest } from '@modelcontextprotocol/server';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isPlainLegacyRequest } from '../../packages/server/src/mcp/gate.ts';

const version = fc.constantFrom(...legacyVersions, modernVersion, ' 2025-06-18', '', '2024-01-01', 'x');
type Sent = Partial<Record<'mcp-protocol-version' | 'mcp-method' | 'mcp-name', string>>;
const headers: fc.Arbitrary<Sent> = fc.oneof(
  fc.constant({}),
  fc.record({ 'mcp-protocol-version': version }, { requiredKeys: [] }),
  fc.record(
    { 'mcp-method': fc.constantFrom('tools/call', 'ping'), 'mcp-name': fc.constant('a') },
    { requiredKeys: [] },
  ),
);
const meta = fc.oneof(
  fc.constant({}),
  fc.constant({ [envelopeKeys.protocolVersion]: modernVersion }),
  fc.constant({ progressToken: 1 }),
  fc.jsonValue(),
);
const params = fc.oneof(
  fc.dictionary(fc.string(), fc.jsonValue()),
  fc.record({ name: fc.string(), arguments: fc.jsonValue(), protocolVersion: version }, { requiredKeys: [] }),
  fc.record({ _meta: meta, name: fc.string() }),
  fc.jsonValue(),
);
const id = fc.oneof(
  fc.integer(),
  fc.string(),
  fc.double(),
  fc.maxSafeInteger(),
  fc.constantFrom(null, true, 2 ** 53, []),
);
const method = fc.oneof(
  fc.constantFrom('tools/call', 'initialize', 'ping', 'notifications/initialized', ''),
  fc.jsonValue(),
);
const message = fc
  .record(
    {
      jsonrpc: fc.constantFrom('2.0', '1.0', 2),
      id,
      method,
      params,
      result: fc.jsonValue(),
      error: fc.jsonValue(),
      __proto__: fc.jsonValue(),
      more: fc.jsonValue(),
    },
    { requiredKeys: ['jsonrpc', 'id', 'method'], noNullPrototype: true },
  )
  // As it comes from the wire.
  .map((value) => JSON.parse(JSON.stringify(value)) as unknown);
const plain = fc
  .record(
    { jsonrpc: fc.constant('2.0'), id: fc.oneof(fc.string(), fc.maxSafeInteger()), method: fc.string(), params },
    { requiredKeys: ['jsonrpc', 'id', 'method'], noNullPrototype: true },
  )
  .map((value) => JSON.parse(JSON.stringify(value)) as unknown);

describe('the short cut for plain requests', () => {
  it('says yes only to what the classifier calls a 2025-era request', () => {
    let short = 0;
    fc.assert(
      fc.property(fc.oneof({ arbitrary: plain, weight: 4 }, message, fc.jsonValue()), headers, (body, sent) => {
        const header = (name: string): string | undefined => sent[name as keyof Sent];
        if (!isPlainLegacyRequest(body, header)) return;
        short++;
        const outcome = classifyInboundRequest({
          httpMethod: 'POST',
          ...(sent['mcp-protocol-version'] !== undefined && { protocolVersionHeader: sent['mcp-protocol-version'] }),
          body,
        });
        expect(outcome).toMatchObject({ kind: 'legacy' });
        expect(['no-claim', 'initialize']).toContain(outcome.kind === 'legacy' ? outcome.reason : undefined);
      }),
      { numRuns: 3_000 },
    );
    // Otherwise nothing was compared.
    expect(short).toBeGreaterThan(200);
  });
});
