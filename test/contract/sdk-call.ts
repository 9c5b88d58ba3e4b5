// The generic suite through the SDK: turns a request of the table into the method call that sends it. Where the SDK says it in other words
// than the wire, the words stand here.

import type { MCPClient } from '@mcp-valet/client';
import { type RouteDefinition, type RouteId, toCamel, toSnake } from '@mcp-valet/shared';
import type { Json } from '../support/gateway.ts';
import type { AnyWire } from './stage.ts';

type Through = (client: MCPClient, wire: Json) => PromiseLike<unknown>;

const secret = ({ username, serverName, secretName, secretValue }: Json): Json => ({
  userId: username,
  connector: serverName,
  name: secretName,
  ...(secretValue !== undefined && { value: secretValue }),
});
const raw =
  (path: `/${string}`): Through =>
  (client) =>
    client.request('GET', path);

const inOtherWords: Partial<Record<RouteId, Through>> = {
  'secrets.set': (client, { body }) => client.secrets.set(secret(body)),
  'secrets.delete': (client, { body }) => client.secrets.delete(secret(body)),
  'secrets.list': (client, { query }) => client.secrets.list({ userId: query.username, connector: query.serverName }),
  'tools.call': (client, { body }) =>
    (body.username === undefined ? client.self() : client.forUser(body.username)).runAction(
      body.serverName,
      body.methodName,
      body.args,
    ),
  'system.me': (client) => client.me(),
  'system.status': (client) => client.status(),
  'system.health': raw('/health'),
  'system.healthz': raw('/healthz'),
  'system.readyz': raw('/readyz'),
  'system.openapi': raw('/openapi.json'),
};

export function callSdk(client: MCPClient, id: RouteId, route: RouteDefinition, wire: AnyWire): PromiseLike<unknown> {
  const special = inOtherWords[id];
  if (special !== undefined) return special(client, wire);
  const [noun = '', method = ''] = id.split('.');
  const call: (...args: unknown[]) => PromiseLike<unknown> = (client as Json)[noun][method];
  const input = route.body === undefined ? wire.query : wire.body;
  const names = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
  const ids = names.map((name) => wire.params?.[name] ?? `no-${name}`);
  return call(...ids, ...(input === undefined ? [] : [route.dialect === 'users' ? toCamel(input) : input]));
}

/** What the SDK resolved to, back in the wire's form, with the schema that it must satisfy. */
export function wireForm(
  id: RouteId,
  route: RouteDefinition,
  resolved: Json,
): { value: unknown; schema: RouteDefinition['reply'] } {
  const { shape } = route.reply as Json;
  const back = (value: unknown): unknown => (route.dialect === 'users' ? toSnake(value) : value);
  if (id === 'secrets.delete') return { value: { success: resolved === undefined }, schema: route.reply };
  if (id === 'secrets.set') return { value: resolved, schema: shape.secret };
  if (id === 'tools.call') return { value: resolved, schema: shape.data };
  if (route.items !== undefined) return { value: back(resolved.items), schema: shape[route.items] };
  return { value: back({ ...resolved }), schema: route.reply };
}
