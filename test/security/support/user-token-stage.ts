// A gateway with the usual fixtures and an identity provider that the first account trusts. Alice and Bob are mapped; everybody else is unknown.
// Asserts nothing: what a token opens is asked by `open`, and judged by the test.
import type { GatewayOptions } from '@mcp-valet/server';
import {
  type Answer,
  addFixtures,
  type Fixtures,
  type Json,
  type Rig,
  type Send,
  startRig,
} from '../../support/gateway.ts';
import { startIssuer, type TestIssuer } from '../../support/issuer.ts';

export interface TokenStage {
  rig: Rig;
  fixtures: Fixtures;
  idp: TestIssuer;
  issuerId: string;
  /** Path of the first account's server. */
  path: string;
  /** Trusts an issuer in an account. */
  trust(idp: TestIssuer, more?: Json, admin?: string): Promise<Json>;
  map(issuerId: string, subject: string, userId: string, admin?: string): Promise<Json>;
  /** Lists tools with a bearer token: what it takes to get in. */
  open(token: string | undefined, path?: string, more?: Omit<Send, 'body' | 'method'>): Promise<Answer>;
  /** Calls `whoami` of the recording upstream on the server. */
  whoami(token: string | undefined, headers?: Record<string, string>, path?: string): Promise<Answer>;
  /** Reasons of refused sign-ins so far, oldest first: as they were told to the trail, which writes down no more than 60 a minute. */
  reasons(): readonly string[];
  close(): Promise<void>;
}

export async function startTokenStage(options: Pick<GatewayOptions, 'verifyToken'> = {}): Promise<TokenStage> {
  const rig = await startRig({ env: { VALET_RATE_LIMIT: '100000', VALET_LIST_RATE_LIMIT: '100000' }, ...options });
  const fixtures = await addFixtures(rig);
  const idp = await startIssuer();
  const path = `/mcp/${fixtures.home.server.serverId}`;
  const trust = (to: TestIssuer, more: Json = {}, admin = rig.admin) =>
    rig.manage(
      'POST',
      '/api/issuers',
      {
        type: 'jwt',
        name: `idp-${Math.random()}`,
        issuer: to.issuer,
        audience: [to.audience],
        jwksUri: to.jwksUri,
        ...more,
      },
      admin,
    );
  const map = (issuerId: string, subject: string, userId: string, admin = rig.admin) =>
    rig.manage('POST', '/api/identities', { issuerId, subject, userId }, admin);
  const { issuerId } = await trust(idp);
  await map(issuerId, 'sub-alice', 'alice');
  await map(issuerId, 'sub-bob', 'bob');
  const reasons: string[] = [];
  const { trail } = rig.gateway.gateway.parts;
  const { signInFailed } = trail;
  trail.signInFailed = (attempt) => {
    reasons.push(attempt.reason);
    return signInFailed(attempt);
  };
  return {
    rig,
    fixtures,
    idp,
    issuerId,
    path,
    trust,
    map,
    open: (token, to = path, more = {}) => rig.rpc(to, { method: 'tools/list' }, { key: token, ...more }),
    whoami: (token, headers = {}, to = path) =>
      rig.rpc(
        to,
        {
          method: 'tools/call',
          params: { name: 'execute_action_alloy', arguments: { connectorId: 'demo', actionId: 'whoami' } },
        },
        { key: token, headers },
      ),
    reasons: () => reasons,
    async close() {
      await rig.close();
      await fixtures.close();
      await idp.close();
    },
  };
}
