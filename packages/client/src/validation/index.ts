// Checks replies of management routes against the contract. An entry of its own, because it brings the contract's schemas and the library that they
// are written in, which the SDK does without. Says where a reply differs and how; never what is in it.
import { contract, type RouteDefinition } from '@mcp-valet/shared';
import { ConfigError, type ResponseValidation } from '../index.ts';

export type { ResponseValidation } from '../index.ts';

type Schema = RouteDefinition['reply'];
type Issue = NonNullable<ReturnType<Schema['safeParse']>['error']>['issues'][number];

/** The part of a schema that its path is read from. */
interface Shape {
  _zod: { def: { type: string; shape?: Record<string, Shape>; element?: Shape; innerType?: Shape } };
}

const maxProblems = 10;

let replies: Map<string, Schema> | undefined;

/** Made when first needed: importing this does nothing. */
function replyOf(method: string, path: string): Schema | undefined {
  replies ??= new Map(
    Object.values(contract as unknown as Record<string, Record<string, RouteDefinition>>)
      .flatMap((routes) => Object.values(routes))
      .map((route) => [`${route.method} ${route.path}`, route.reply]),
  );
  return replies.get(`${method} ${path}`);
}

/** A word that a newer server knows and this contract does not is no fault of the reply. */
function isNewWord(issue: Issue): boolean {
  if (issue.code === 'invalid_value') return issue.values.length > 1 && typeof issue.input === 'string';
  if (issue.code !== 'invalid_union') return false;
  return issue.errors.length === 0 || issue.errors.some((branch) => branch.every((inner) => isNewWord(inner)));
}

/** `credentials.[].status`. Keys that the contract does not name are data, and stand as `*`. */
function placeOf(path: readonly PropertyKey[], schema: Schema): string {
  let at: Shape | undefined = schema;
  const names = path.map((key) => {
    while (at?._zod.def.innerType) at = at._zod.def.innerType;
    const { shape, element } = at?._zod.def ?? {};
    at = typeof key === 'number' ? element : shape?.[String(key)];
    if (typeof key === 'number') return '[]';
    return at === undefined ? '*' : String(key);
  });
  return names.join('.') || 'the reply';
}

const faultOf = (issue: Issue): string =>
  issue.code === 'invalid_type' ? `is not ${issue.expected}` : issue.code.replaceAll('_', ' ');

/**
 * For the client's option `responseValidation`: compares each reply of a management route with the contract. Fields and words that this version of
 * the contract does not know are no mismatch. `warn` logs what differs, by place and kind. `strict` throws ResponseError with code
 * `MISMATCHED_ANSWER`, also after a change that has been made (then with `executed: 'yes'`): for tests, not for production.
 */
export function validation(mode: 'warn' | 'strict'): ResponseValidation {
  if (mode !== 'warn' && mode !== 'strict') throw new ConfigError({ message: 'validation takes warn or strict' });
  return {
    mode,
    check: (method, path, reply) => {
      const schema = replyOf(method, path);
      const issues = schema?.safeParse(reply, { reportInput: true }).error?.issues ?? [];
      const problems = issues
        .filter((issue) => !isNewWord(issue))
        .map((issue) => `${placeOf(issue.path, schema as Schema)} ${faultOf(issue)}`);
      return [...new Set(problems)].slice(0, maxProblems);
    },
  };
}
