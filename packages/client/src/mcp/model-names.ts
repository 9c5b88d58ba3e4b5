// Names as every model accepts them. The same tool always gets the same name; two tools never share one.
import { ConfigError } from '../errors.ts';

const maxLength = 64;
const hashLength = 8;

/** FNV-1a, for a name that has to be cut: not a secret, only the same everywhere. */
function hash(text: string): string {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  return (value >>> 0).toString(16).padStart(hashLength, '0');
}

function modelName(name: string): string {
  const allowed = name.replace(/[^A-Za-z0-9_-]/g, '_');
  return allowed.length <= maxLength ? allowed : `${allowed.slice(0, maxLength - hashLength - 1)}_${hash(name)}`;
}

/** Gives each tool its name for models. Throws ConfigError when two would share one: `exclude` one of them. */
export function withModelNames<T extends { name: string }>(tools: readonly T[]): (T & { modelName: string })[] {
  const taken = new Map<string, string>();
  return tools.map((tool) => {
    const name = modelName(tool.name);
    const other = taken.get(name);
    if (other !== undefined) {
      throw new ConfigError({
        message: `The tools ${other} and ${tool.name} have the same name for a model`,
        hint: 'Exclude one of them',
      });
    }
    taken.set(name, tool.name);
    return { ...tool, modelName: name };
  });
}
