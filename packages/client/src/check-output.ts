// Whether a result is what the caller's schema says. An error names places, never values.
import { ResponseError, ValetError } from './errors.ts';
import type { OutputSchema } from './input.ts';
import type { Settled } from './operation.ts';
import type { ToolResult } from './tool-result.ts';

const maxIssues = 10;

type End<T> = Settled<ToolResult<T>>;

/** The check for a schema, if there is one. What a tool refuses has no output. */
export const outputCheck = <T>(schema: OutputSchema<T> | undefined) =>
  schema && (async (end: End<T>): Promise<End<T>> => (end.ok && !end.data.isError ? check(end, schema) : end));

async function check<T>(end: End<T> & { ok: true }, schema: OutputSchema<T>): Promise<End<T>> {
  const { data, meta, answer } = end;
  const refuse = (message: string, code: string, details?: Record<string, unknown>) => {
    const { attempts, requestId, status } = meta;
    const fields = {
      message,
      code,
      details,
      attempts,
      requestId,
      status,
      operation: 'execute',
      executed: 'yes' as const,
    };
    return { ok: false as const, error: new ResponseError(fields), answer };
  };
  let value: unknown;
  try {
    value = data.json<unknown>();
  } catch (error) {
    if (!(error instanceof ValetError)) throw error;
    return refuse(error.message, error.code);
  }
  const result = await schema['~standard'].validate(value);
  if (result.issues) {
    const issues = result.issues.slice(0, maxIssues).map(({ path = [], message }) => ({
      path: path.map((part) => String(typeof part === 'object' ? part.key : part)).join('.'),
      message: message.slice(0, 200),
    }));
    return refuse('The output of the tool does not fit the schema', 'OUTPUT_MISMATCH', { issues });
  }
  data.structuredContent = result.value;
  return end;
}
