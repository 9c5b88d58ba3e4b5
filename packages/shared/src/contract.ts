// The whole REST contract as one table: noun -> method -> route. A loop over it makes the client, the server's routes, OpenAPI and the tests.
import { accountRoutes } from './accounts.ts';
import { keyRoutes } from './api-keys.ts';
import { auditRoutes } from './audit.ts';
import { callRoutes, toolRoutes } from './calls.ts';
import { connectorRoutes } from './connectors.ts';
import { credentialRoutes } from './credentials.ts';
import { explainRoutes } from './explain.ts';
import { groupRoutes } from './groups.ts';
import { identityRoutes, issuerRoutes } from './issuers.ts';
import { limitRoutes, usageRoutes } from './limit-rules.ts';
import type { RouteDefinition } from './route.ts';
import { secretRoutes } from './secrets.ts';
import { serverRoutes } from './servers.ts';
import { settingsRoutes } from './settings.ts';
import { systemRoutes } from './system.ts';
import { tokenRoutes } from './tokens.ts';
import { userRoutes } from './users.ts';

/** Named types, so that the doc comment of a route is what an editor shows on the method made from it. */
export type Contract = {
  /** Published MCP endpoints, what they allow and the tokens of their URLs. */
  readonly servers: typeof serverRoutes;
  /** Your users: who exists, who is let in, what each may reach. */
  readonly users: typeof userRoutes;
  /** API keys of users and servers. */
  readonly keys: typeof keyRoutes;
  readonly secrets: typeof secretRoutes;
  readonly tools: typeof toolRoutes;
  readonly connectors: typeof connectorRoutes;
  readonly credentials: typeof credentialRoutes;
  readonly calls: typeof callRoutes;
  /** The trail: who changed or was refused what, and the proof that nothing is missing. */
  readonly audit: typeof auditRoutes;
  /** Tenants of this gateway. For operators. */
  readonly accounts: typeof accountRoutes;
  /** Identity providers whose tokens prove who a user is. */
  readonly issuers: typeof issuerRoutes;
  /** Which subject of an issuer is which user. */
  readonly identities: typeof identityRoutes;
  /** Groups of users: rights, limits and credentials in common. */
  readonly groups: typeof groupRoutes;
  /** Short-lived tokens that act as one user and can do no more than call tools. */
  readonly tokens: typeof tokenRoutes;
  /** Limits and daily quotas of calls. */
  readonly limits: typeof limitRoutes;
  /** Calls, counted. */
  readonly usage: typeof usageRoutes;
  /** What the rules say about a call, without calling. */
  readonly policy: typeof explainRoutes;
  /** The account's own settings. */
  readonly settings: typeof settingsRoutes;
  readonly system: typeof systemRoutes;
};

export const contract: Contract = {
  servers: serverRoutes,
  users: userRoutes,
  keys: keyRoutes,
  secrets: secretRoutes,
  tools: toolRoutes,
  connectors: connectorRoutes,
  credentials: credentialRoutes,
  calls: callRoutes,
  audit: auditRoutes,
  accounts: accountRoutes,
  issuers: issuerRoutes,
  identities: identityRoutes,
  groups: groupRoutes,
  tokens: tokenRoutes,
  limits: limitRoutes,
  usage: usageRoutes,
  policy: explainRoutes,
  settings: settingsRoutes,
  system: systemRoutes,
} satisfies Record<string, Record<string, RouteDefinition>>;

export type Noun = keyof Contract;

/** `noun.method` of every route: `servers.create`. */
export type RouteId = { [N in Noun]: `${N}.${Extract<keyof Contract[N], string>}` }[Noun];
export type RouteOf<Id extends RouteId> = Id extends `${infer N extends Noun}.${infer M}`
  ? M extends keyof Contract[N]
    ? Contract[N][M] extends RouteDefinition
      ? Contract[N][M]
      : never
    : never
  : never;

/** Every route with its id, in table order. */
export const routes: readonly { id: RouteId; route: RouteDefinition }[] = Object.entries(contract).flatMap(
  ([noun, methods]) =>
    Object.entries(methods).map(([method, definition]) => ({
      id: `${noun}.${method}` as RouteId,
      route: definition as RouteDefinition,
    })),
);
