// What an upstream says before its result, on its way to the caller: progress under the caller's own token, strictly increasing and not
// too often; logs at or above the level asked for. Nothing is passed on after the result.
import { envelopeKeys } from '@mcp-valet/shared';
import type { Notification } from '../connectors/backend.ts';
import { isObject } from './jsonrpc.ts';
import type { LaneRelay } from './relay.ts';

const maxPerSecond = 20;
const severities = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'];

/** Whether a log message is at or above the level; all are when no level was set. */
export function isLogged(level: unknown, threshold: string | undefined): boolean {
  if (threshold === undefined) return true;
  return severities.indexOf(String(level)) >= severities.indexOf(threshold);
}

export const isLogLevel = (level: unknown): level is string => typeof level === 'string' && severities.includes(level);

/** Of a log message, what the protocol knows. */
export const logParams = (params: Record<string, unknown>): Record<string, unknown> => ({
  level: params['level'],
  ...(params['logger'] !== undefined && { logger: params['logger'] }),
  data: params['data'],
});

export interface RelayOptions {
  params: Record<string, unknown>;
  /** Undefined: logs are not passed on. Asked for each message, since a session's level may change. */
  logs?: (() => { threshold: string | undefined }) | undefined;
  notify: (notification: Notification) => Promise<void>;
}

/** The listeners of one call. `stop` ends them with the call. */
export function createRelay({ params, logs, notify }: RelayOptions): { lane: LaneRelay; stop: () => void } {
  const meta = isObject(params['_meta']) ? params['_meta'] : {};
  const token = meta['progressToken'];
  const wantsProgress = typeof token === 'string' || (typeof token === 'number' && Number.isInteger(token));
  const logLevel = meta[envelopeKeys.logLevel];
  const stop = (): void => {
    isOver = true;
  };
  let isOver = false;
  let last = Number.NEGATIVE_INFINITY;
  const sentAt: number[] = [];
  if (!wantsProgress && logs === undefined) return { lane: {}, stop };

  const isTooOften = (): boolean => {
    const now = Date.now();
    while (sentAt[0] !== undefined && sentAt[0] <= now - 1000) sentAt.shift();
    if (sentAt.length >= maxPerSecond) return true;
    sentAt.push(now);
    return false;
  };
  const onProgress = (update: Record<string, unknown>): void => {
    const { progress } = update;
    if (!wantsProgress || typeof progress !== 'number' || !(progress > last) || isTooOften()) return;
    last = progress;
    const { total, message } = update;
    send({
      method: 'notifications/progress',
      params: {
        progressToken: token,
        progress,
        ...(typeof total === 'number' && { total }),
        ...(typeof message === 'string' && { message }),
      },
    });
  };
  // A caller that is gone hears nothing; its call goes on or ends by its own rules.
  const send = (notification: Notification): void => void notify(notification).catch(() => undefined);
  const onNotification = ({ method, params: update = {} }: Notification): void => {
    if (isOver) return;
    if (method === 'notifications/progress') onProgress(update);
    if (method !== 'notifications/message' || logs === undefined) return;
    if (isLogged(update['level'], logs().threshold)) send({ method, params: logParams(update) });
  };
  return { lane: { onNotification, wantsProgress, ...(isLogLevel(logLevel) && { logLevel }) }, stop };
}
