// The one logger. Lines hold method, route pattern, status, ids and times; never URLs, queries, bodies, header values or foreign messages.
// What slips through all the same meets the last net here: every line is searched for token patterns before it is written.
import { type DestinationStream, type Logger, pino } from 'pino';
import type { Config } from './config.ts';
import { redactTokens } from './redact-tokens.ts';

const nameOf = (error: unknown): string => (error instanceof Error ? error.name : typeof error);

export function createLog(config: Pick<Config, 'logLevel'>, destination: DestinationStream = process.stdout): Logger {
  const stream: DestinationStream = { write: (line) => destination.write(redactTokens(line)) };
  return pino(
    {
      level: config.logLevel,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      // An error object never reaches a line whole: its message may quote what was sent. pino takes that for the line's text when it is
      // given none, and Fastify hands it over as text: both are replaced by the error's name.
      hooks: {
        logMethod(args, method) {
          const [first, text] = args as [unknown, unknown];
          const error: unknown = first instanceof Error ? first : (first as { err?: unknown } | null)?.err;
          const isForeign = text === undefined || text === (error as { message?: unknown } | null)?.message;
          if (error === undefined || !isForeign) return method.apply(this, args);
          return method.call(this, first instanceof Error ? { err: first } : (first as object), nameOf(error));
        },
      },
      serializers: {
        err: (error: unknown) => ({
          name: nameOf(error),
          ...(error instanceof Error && 'code' in error && { code: String(error.code) }),
        }),
      },
    },
    stream,
  );
}
