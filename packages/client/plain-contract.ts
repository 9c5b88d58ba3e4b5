// The contract as the SDK needs it at run time: without schemas. The gateway checks what it is sent; the SDK only has to know methods, paths and
// how a reply is to be read. A route whose parts the SDK comes to need beyond these must be added here, or it is missing in the build.
import { join } from 'node:path';
import { contract, errorTable, type RouteDefinition } from '@mcp-valet/shared';
import type { Options } from 'tsup';

type Plugin = NonNullable<Options['esbuildPlugins']>[number];

const literalsOf = (reply: unknown): Record<string, unknown> => {
  const { shape } = reply as { shape: Record<string, { _zod: { def: { values?: unknown[] } } }> };
  return Object.fromEntries(
    Object.entries(shape).map(([key, { _zod }]) => [key, { _zod: { def: { values: _zod.def.values } } }]),
  );
};

function plainRoute(route: RouteDefinition): Record<string, unknown> {
  const { method, path, dialect, items, oneTime, idempotent, body, query } = route;
  return {
    method,
    path,
    dialect,
    items,
    oneTime,
    idempotent,
    body: body && true,
    query: query && true,
    // What a DELETE answers whose first attempt got lost: its own literals.
    ...(method === 'DELETE' && { reply: { shape: literalsOf(route.reply) } }),
  };
}

const mapped = <T, U>(object: Readonly<Record<string, T>>, plain: (value: T) => U): Record<string, U> =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, plain(value)]));

/** Stands in for `@mcp-valet/shared` in the build. What it does not export and the SDK imports fails the build. */
export function plainContract(): Plugin {
  const sources = join(import.meta.dirname, '../shared/src');
  const nouns = mapped(contract as unknown as Record<string, Record<string, RouteDefinition>>, (routes) =>
    mapped(routes, plainRoute),
  );
  const errors = mapped(errorTable, ({ status, retryable, executed }) => ({ status, retryable, executed }));
  const contents = `
    export { toCamel, toSnake } from ${JSON.stringify(join(sources, 'case.ts'))};
    export { headers, metaKeys } from ${JSON.stringify(join(sources, 'mcp.ts'))};
    export const contract = /* @__PURE__ */ JSON.parse(${JSON.stringify(JSON.stringify(nouns))});
    export const errorTable = ${JSON.stringify(errors)};
    export const isErrorCode = (code) => typeof code === 'string' && Object.hasOwn(errorTable, code);`;
  return {
    name: 'plain-contract',
    setup(esbuild) {
      esbuild.onResolve({ filter: /^@mcp-valet\/shared$/ }, ({ importer }) =>
        // The one entry that is there for the schemas.
        /[/\\]src[/\\]validation[/\\]/.test(importer)
          ? { path: join(sources, 'index.ts'), sideEffects: false }
          : { path: 'contract', namespace: 'plain-contract' },
      );
      esbuild.onLoad({ filter: /.*/, namespace: 'plain-contract' }, () => ({ contents, resolveDir: sources }));
    },
  };
}
