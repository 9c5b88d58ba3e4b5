// What the tests of requests share: one operation as a function from arguments to its request, and what is wrong with arguments.
// Asserts nothing.
import { InvalidParameters } from './check.ts';
import { importDocument } from './import.ts';
import { buildRequest, type RequestOptions } from './request.ts';

const base = { openapi: '3.1.0', servers: [{ url: 'https://api.example.com/v1/' }] };
export const content = (schema: object, mediaType = 'application/json', more: object = {}) => ({
  required: true,
  content: { [mediaType]: { schema, ...more } },
});

/** One operation, described by what is different about it. */
export function operation(method: string, path: string, described: object, more: object = {}) {
  const { compiled } = importDocument({ ...base, paths: { [path]: { [method]: described } }, ...more });
  const [found] = compiled.operations;
  if (found === undefined) throw new Error('the operation was lost');
  return (args: Record<string, unknown>, options: RequestOptions = {}) => buildRequest(compiled, found, args, options);
}

export function issuesOf(work: () => unknown): string[] {
  try {
    work();
  } catch (error) {
    if (error instanceof InvalidParameters) return error.issues.map(({ path, message }) => `${path} ${message}`);
    throw error;
  }
  return [];
}

export const pet = {
  type: 'object',
  required: ['name'],
  properties: { name: { type: 'string' }, age: { type: 'integer' } },
};
