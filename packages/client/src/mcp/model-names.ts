// Names as every model accepts them. The same tool always gets the same name; two tools never share one.
import { ConfigError } from '../errors.ts';
import { hash } from '../short-hash.ts';

const maxLength = 64;
const hashLength = 8;

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
