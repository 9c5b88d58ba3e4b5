// Turns what an operator sends (an object, JSON text or YAML text) into a JSON value. Fetches nothing. YAML is read with js-yaml, which is
// four times as fast as `yaml` on documents of this size; JSON text never meets it.
import { CORE_SCHEMA, load, mergeTag, YAMLException } from 'js-yaml';
import { DocumentRefused } from './document.ts';

/** Larger documents would hold up everybody's calls while they are read. */
export const maxDocumentBytes = 32 * 1024 * 1024;

const schema = CORE_SCHEMA.withTags(mergeTag);

export function readDocument(input: unknown): unknown {
  if (typeof input !== 'string') return input;
  if (input.length > maxDocumentBytes) throw refused('', 'The document is larger than 32 MiB');
  const text = input.startsWith('\uFEFF') ? input.slice(1) : input;
  const start = text.trimStart();
  if (start === '') throw refused('', 'The document is empty');
  if (start.startsWith('{')) {
    const value = readJson(text);
    if (value !== undefined) return value;
  }
  return readYaml(text);
}

/** Undefined when it is no JSON: YAML's flow style begins with a brace too, and its reader says where the fault is. */
function readJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function readYaml(text: string): unknown {
  try {
    return load(text, { schema, json: true, maxAliases: 10_000, maxDepth: 200 });
  } catch (error) {
    // By its documentation not every failure of the reader is a YAMLException.
    if (!(error instanceof YAMLException)) throw refused('', 'The document is neither JSON nor YAML');
    const { line, column } = error.mark ?? {};
    const where = line === undefined ? '' : ` (line ${line + 1}, column ${(column ?? 0) + 1})`;
    throw refused('', `The document is neither JSON nor YAML: ${error.reason}${where}`);
  }
}

export const refused = (path: string, message: string): DocumentRefused => new DocumentRefused([{ path, message }]);
