// The contract's table as methods: `client.servers.create(…)`. Made by a loop; the types are mapped over the same table, so the
// doc comment of a contract entry is what an editor shows on the method, and a new route needs no work here.
import { type Contract, contract, type RouteDefinition } from '@mcp-valet/shared';
import { type AuditExport, addExports, type CallExport, type HistoryExport } from './export-list.ts';
import { type CallFinder, makeCallFinder } from './find-call.ts';
import { callRoute } from './route-call.ts';
import type { Method } from './route-types.ts';
import { makeSecrets, type Secrets } from './secrets.ts';
import type { Transport } from './transport.ts';

type Methods<N> = { readonly [M in keyof N]: N[M] extends RouteDefinition ? Method<N[M]> : never };

interface CredentialAliases {
  /** Stores a user's credential: `create` under the name that says what happens. Throws ConflictError when the chosen id is taken. */
  readonly deposit: Method<Contract['credentials']['create']>;
}

interface ConnectorAliases {
  /** The connector's tools: `actions` in MCP's word. With `userId`, as that user's credential sees them. */
  readonly tools: Method<Contract['connectors']['actions']>;
}

type Own = 'secrets' | 'tools' | 'system';
type Derived = { readonly [N in keyof Contract as Exclude<N, Own>]: Methods<Contract[N]> };

/** `client.users`, `client.servers` and so on: one namespace per noun of the contract. */
export interface Namespaces extends Omit<Derived, 'audit' | 'calls' | 'connectors' | 'credentials' | 'users'> {
  /** Who did what to what, and what was refused. */
  readonly audit: Derived['audit'] & AuditExport;
  /** The journal: what was called, as whom, with which outcome. */
  readonly calls: Derived['calls'] & CallFinder & CallExport;
  /** Named secrets of users, by connector. Values go in and never come out. */
  readonly secrets: Secrets;
  /** What signs users in to connectors. */
  readonly credentials: Derived['credentials'] & CredentialAliases;
  /** What servers can reach: upstream MCP servers, programs and REST APIs. */
  readonly connectors: Derived['connectors'] & ConnectorAliases;
  /** The users of your account. */
  readonly users: Derived['users'] & HistoryExport;
}

const own: ReadonlySet<string> = new Set<Own>(['secrets', 'tools', 'system']);

/** Binds every noun to a transport. */
export function makeNamespaces(transport: Transport): Namespaces {
  const nouns: Record<string, Record<string, unknown>> = {};
  for (const [noun, routes] of Object.entries(contract)) {
    if (own.has(noun)) continue;
    const methods: Record<string, unknown> = {};
    for (const [method, route] of Object.entries(routes as Record<string, RouteDefinition>)) {
      methods[method] = (...args: unknown[]) => callRoute(transport, `${noun}.${method}`, route, args);
    }
    nouns[noun] = methods;
  }
  const { credentials, connectors, calls } = nouns;
  if (calls) Object.assign(calls, makeCallFinder(transport));
  if (credentials) credentials['deposit'] = credentials['create'];
  if (connectors) connectors['tools'] = connectors['actions'];
  addExports(transport, nouns);
  for (const methods of Object.values(nouns)) Object.freeze(methods);
  return { ...nouns, secrets: Object.freeze(makeSecrets(transport, 'named')) } as unknown as Namespaces;
}
