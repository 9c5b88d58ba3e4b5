// The one logger. Lines hold method, route pattern, status, ids and times; never URLs, queries, bodies, header values or foreign messages.
// What slips through all the same meets the last net here: every line is searched for token patterns before it is written. Users stand in no line:
// a short keyed hash takes the place of their ids wherever these turn up, and of whatever is logged under a name that says user.
import { type DestinationStream, type Logger, pino } from 'pino';
import type { Config } from './config.ts';
import { redactTokens } from './redact-tokens.ts';

const nameOf = (error: unknown): string => (error instanceof Error ? error.name : typeof error);

/** How lines name users: equal users look equal within this installation, and nobody without its key can tell who it is. */
export interface LogNames {
  /** Before it is called, while the keyring is not open, users have no names at all. */
  use(hash: (user: string) => Uint8Array): void;
  of(user: string): string;
}

export function createLogNames(): LogNames {
  let hash: ((user: string) => Uint8Array) | undefined;
  return {
    use: (given) => {
      hash = given;
    },
    of: (user) => (hash === undefined ? 'user:?' : `user:${Buffer.from(hash(user)).toString('hex', 0, 5)}`),
  };
}

const userFields = ['user', 'userId', 'username', 'attemptedUser', 'actorUserId', 'effectiveUser', 'ownerUserId'];
const userIds = /\busr_[0-9A-Za-z]{16,64}\b/g;

const debugMs = 10 * 60_000;
const raised = new WeakMap<Logger, { level: string; timer: NodeJS.Timeout }>();

/** The log at debug for ten minutes, or back at once when it is already: what SIGUSR2 does. Ends by itself, because nobody remembers. */
export function switchDebug(log: Logger, forMs = debugMs): void {
  const before = raised.get(log);
  if (before !== undefined) {
    clearTimeout(before.timer);
    raised.delete(log);
    log.warn({ now: before.level }, 'log_level');
    log.level = before.level;
    return;
  }
  const timer = setTimeout(() => switchDebug(log), forMs);
  timer.unref();
  raised.set(log, { level: log.level, timer });
  log.level = 'debug';
  log.warn({ now: 'debug', forMs }, 'log_level');
}

export function createLog(
  config: Pick<Config, 'logLevel'>,
  destination: DestinationStream = process.stdout,
  names: LogNames = createLogNames(),
): Logger {
  const hashed = (user: unknown): unknown =>
    typeof user === 'string' ? names.of(user) : user === null || user === undefined ? user : names.of('-');
  const stream: DestinationStream = {
    write: (line) => destination.write(redactTokens(line).replace(userIds, (id) => names.of(id))),
  };
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
        ...Object.fromEntries(userFields.map((field) => [field, hashed])),
        err: (error: unknown) => ({
          name: nameOf(error),
          ...(error instanceof Error && 'code' in error && { code: String(error.code) }),
        }),
      },
    },
    stream,
  );
}
