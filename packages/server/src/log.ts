// The one logger. Lines hold method, route pattern, status, ids and times; never URLs, queries, bodies, header values or foreign messages.
// What slips through all the same meets the last net here: every line is searched for token patterns before it is written.
import { type DestinationStream, type Logger, pino } from 'pino';
import type { Config } from './config.ts';

const tokenPattern = /mcpv_(adm|ent|std|url|usr)_[0-9A-Za-z]{49}/g;
const bearerPattern = /\b(Bearer\s+)[A-Za-z0-9._~+/=-]{8,}/gi;

export const scrubLine = (line: string): string => line.replace(tokenPattern, 'mcpv_$1_[token]').replace(bearerPattern, '$1[token]');

export function createLog(config: Pick<Config, 'logLevel'>, destination: DestinationStream = process.stdout): Logger {
  const stream: DestinationStream = { write: (line) => destination.write(scrubLine(line)) };
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
          const error = first instanceof Error ? first : (first as { err?: unknown } | null)?.err;
          const isForeign = error instanceof Error && (text === undefined || text === error.message);
          return isForeign ? method.call(this, first instanceof Error ? { err: first } : (first as object), error.name) : method.apply(this, args);
        },
      },
      serializers: {
        err: (error: unknown) =>
          error instanceof Error ? { name: error.name, ...('code' in error && { code: String(error.code) }) } : { name: typeof error },
      },
    },
    stream,
  );
}
