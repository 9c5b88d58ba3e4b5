// Module hooks that node20.mjs registers: gives the conformance CLI, and only it, an `fs` that has a `globSync`.
// Must not touch any other importer, so the `parentURL` check is narrow.
const shim = 'valet-shim:fs';
const source = `
export * from 'node:fs';
export { default } from 'node:fs';
export function globSync() {
  throw new Error('globSync needs Node 22');
}
`;

export async function resolve(specifier, context, next) {
  const isFs = specifier === 'fs' || specifier === 'node:fs';
  if (isFs && context.parentURL?.includes('/@modelcontextprotocol/conformance/dist/')) {
    return { url: shim, shortCircuit: true };
  }
  return next(specifier, context);
}

export async function load(url, context, next) {
  if (url === shim) return { format: 'module', source, shortCircuit: true };
  return next(url, context);
}
