// The rows of the generic suites: every route of the contract with its sample. Holds no expectation.
import { type KeyKind, type RouteDefinition, type RouteId, routes } from '@mcp-valet/shared';
import { samples } from './samples.ts';
import type { AnySample, Stage } from './stage.ts';

export interface Row {
  id: RouteId;
  route: RouteDefinition;
  sample: AnySample;
}

export const rows: readonly Row[] = routes.map(({ id, route }) => ({ id, route, sample: samples[id] as AnySample }));
export const managed: readonly Row[] = rows.filter(({ route }) => !route.access.includes('public'));
export const open: readonly Row[] = rows.filter(({ route }) => route.access.includes('public'));
export const posts: readonly Row[] = managed.filter(({ route }) => route.method === 'POST' && route.db !== 'plain');
/** Lists that page. */
export const lists: readonly Row[] = managed.filter(({ sample }) => sample.add !== undefined);

/** Kinds of keys that can stand in an Authorization header. */
export const headerKinds = ['adm', 'ent', 'std'] as const satisfies readonly KeyKind[];
export type HeaderKind = (typeof headerKinds)[number];

/** A key of account `home`; `std` is alice's. */
export function keyOf({ home }: Stage, kind: HeaderKind): string {
  return { adm: home.admin, ent: home.enterprise, std: home.alice.key }[kind];
}
