// Finds where an API is: absolute http(s) addresses, variables replaced by their defaults. Whether an address may be called is decided by
// the egress guard, at every connection.
import { isObject, own, textOf } from './document.ts';
import type { Scene } from './operation.ts';
import { pointerTo } from './references.ts';
import { serversOf } from './swagger.ts';

/** Addresses that a document, path item or operation names. A relative one is taken from `base`, or left out. */
export function absoluteServers(scene: Scene, owner: unknown, pointer: string, base?: string): string[] {
  if (scene.isSwagger) return owner === scene.root ? serversOf(scene.root).filter(isAbsolute) : [];
  const servers = own(owner, 'servers');
  if (!Array.isArray(servers)) return [];
  return servers.flatMap((server: unknown, index) => {
    const at = pointerTo(pointer, 'servers', index);
    const url = filled(server);
    if (url === undefined) {
      scene.note({ path: at, message: 'The address has a variable without a default: it was left out' });
      return [];
    }
    if (isAbsolute(url)) return [url];
    if (base !== undefined && url !== '' && URL.canParse(url, base)) return [new URL(url, base).href];
    return [];
  });
}

function filled(server: unknown): string | undefined {
  let isWhole = true;
  const url = textOf(own(server, 'url')).replace(/\{([^{}]+)\}/g, (_, name: string) => {
    const variable = own(own(server, 'variables'), name);
    const value = isObject(variable) ? own(variable, 'default') : undefined;
    if (typeof value !== 'string' && typeof value !== 'number') isWhole = false;
    return String(value);
  });
  return isWhole ? url : undefined;
}

function isAbsolute(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol } = new URL(url);
  return protocol === 'https:' || protocol === 'http:';
}
