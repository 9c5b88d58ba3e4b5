// The page's only way to the gateway: the SDK over the session for management, and a token of one user for one call.
import { MCPClient, type ToolResult, ValetError } from '@mcp-valet/client';
import { sessionEnded } from './session.ts';

const baseUrl = location.origin;
export const gateway = new MCPClient({ baseUrl, session: true, logLevel: 'off' });

const tryTokenSeconds = 60;

/** Calls a connector's action as a user. The session cannot call: it mints a token for that user, good for a minute. */
export async function callAs(
  userId: string,
  connectorId: string,
  action: string,
  args: Record<string, unknown>,
): Promise<ToolResult> {
  const { token } = await gateway.tokens.create({
    userId,
    label: 'Dashboard: try a call',
    ttlSeconds: tryTokenSeconds,
    maxCalls: 1,
    permissions: [{ connector: connectorId, mode: 'allow', actions: [action] }],
  });
  if (token === undefined) throw new Error('The gateway gave no token');
  const caller = new MCPClient({
    baseUrl,
    apiKey: token,
    dangerouslyAllowBrowser: true,
    logLevel: 'off',
    maxRetries: 0,
  });
  try {
    return await caller.self().runAction(connectorId, action, args);
  } finally {
    await caller.close();
  }
}

/** A sentence for whoever reads the page. */
export function sentenceOf(error: unknown): { text: string; detail: string | undefined } {
  if (!(error instanceof ValetError)) {
    return { text: error instanceof Error ? error.message : 'Something went wrong.', detail: undefined };
  }
  const issues = error.details?.['issues'];
  const list = Array.isArray(issues)
    ? (issues as { path?: string; message?: string }[]).map(({ path, message }) => `${path ?? ''}: ${message ?? ''}`)
    : [];
  const detail = [...list, error.requestId && `Request ${error.requestId}`].filter(Boolean).join(' · ');
  return { text: `${error.message} (${error.code})`, detail: detail || undefined };
}

/** Whatever shows an error asks this first: a session that is over leads to the login page. */
export function noteError(error: unknown): void {
  if (error instanceof ValetError && error.status === 401) dispatchEvent(new Event(sessionEnded));
}
