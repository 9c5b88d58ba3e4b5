// `subscriptions/listen` of the modern era: one SDK handler and bus for one stream of one user, fed by the upstreams that this user can
// reach and by changes of our own. Upstreams are listened to before the caller is told so.
import { createMcpHandler } from '@modelcontextprotocol/server';
import type { Watch, WatchEvent } from '../connectors/backend.ts';
import type { Live } from '../live-use.ts';
import { prefixOf } from './catalog.ts';
import type { Exchange } from './exchange.ts';
import type { Inbound } from './gate.ts';
import { isObject, RpcError } from './jsonrpc.ts';
import { resolveReader } from './methods.ts';
import { publishedUri } from './names.ts';
import { ownerOf } from './owner.ts';
import { isDirect, type UserCall } from './request.ts';
import { webRequest, writeResponse } from './sdk-response.ts';
import { keepAliveMs, LaneServer } from './sdk-server.ts';
import type { Sessions } from './sessions.ts';
import { reachOf } from './subscriptions.ts';

const openWithinMs = 500;
const settleMs = 250;
const maxResources = 100;

type RequestInbound = Extract<Inbound, { kind: 'request' }>;
type Handler = ReturnType<typeof createMcpHandler>;

interface Wishes {
  lists: boolean;
  uris: readonly string[];
}

function wishesOf(params: Record<string, unknown>): Wishes {
  const { notifications } = params;
  if (!isObject(notifications)) throw new RpcError(-32602, 'notifications must say what to listen to');
  const uris = notifications['resourceSubscriptions'] ?? [];
  if (!Array.isArray(uris) || uris.length > maxResources || !uris.every((uri) => typeof uri === 'string')) {
    throw new RpcError(-32602, `resourceSubscriptions must be at most ${maxResources} URIs`);
  }
  const lists = ['toolsListChanged', 'promptsListChanged', 'resourcesListChanged'].some(
    (key) => notifications[key] === true,
  );
  return { lists, uris };
}

/** The upstream watches of one stream, renewed when the user's rights, connectors or credentials change. */
class Listening {
  readonly #wishes: Wishes;
  readonly #handler: Handler;
  #watches: Watch[] = [];
  #isClosed = false;

  constructor(wishes: Wishes, handler: Handler) {
    this.#wishes = wishes;
    this.#handler = handler;
  }

  /** Resolves when all upstreams listen, or after half a second: a slow one joins later. */
  async renew(call: UserCall): Promise<void> {
    const before = this.#watches;
    const prefix = prefixOf(call);
    const reaches = isDirect(call) ? await reachOf(call, this.#wishes.lists, this.#wishes.uris) : [];
    if (this.#isClosed) return;
    this.#watches = reaches.map(({ upstream, uris }) =>
      call.parts.carriers.watch(upstream, uris, (event) =>
        this.#publish(event, (uri) => publishedUri(upstream.connector.id, uri, prefix)),
      ),
    );
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, openWithinMs);
    });
    await Promise.race([Promise.all(this.#watches.map(({ ready }) => ready)), late]);
    clearTimeout(timer);
    for (const watch of before) watch.close();
  }

  #publish(event: WatchEvent, publish: (uri: string) => string): void {
    const { notify } = this.#handler;
    if (event.kind === 'updated') notify.resourceUpdated(publish(event.uri));
    else if (event.kind === 'tools') notify.toolsChanged();
    else if (event.kind === 'prompts') notify.promptsChanged();
    else notify.resourcesChanged();
  }

  close(): void {
    this.#isClosed = true;
    for (const watch of this.#watches) watch.close();
  }
}

export async function serveListen(exchange: Exchange, inbound: RequestInbound, sessions: Sessions): Promise<void> {
  const { request } = exchange;
  const call = await resolveReader(request);
  const wishes = wishesOf(inbound.params);
  const handler = createMcpHandler(() => new LaneServer(request, async () => ({})), {
    legacy: 'reject',
    keepAliveMs,
    maxSubscriptions: 1,
  });
  const listening = new Listening(wishes, handler);
  let pending: NodeJS.Timeout | undefined;
  const renew = async (): Promise<void> => {
    const { accountId } = call.principal;
    const server = call.server && ((await call.parts.directory.server(accountId, call.server.id)) ?? call.server);
    const user = (await call.parts.directory.user(accountId, call.user.record.id)) ?? call.user.record;
    await listening.renew({ ...call, server, user: { ...call.user, record: user } });
    if (!isDirect(call)) return;
    handler.notify.toolsChanged();
    handler.notify.promptsChanged();
    handler.notify.resourcesChanged();
  };
  const live: Live = {
    owner: ownerOf(call),
    end: () => handler.close(),
    changed() {
      // A change often comes in several parts.
      pending ??= setTimeout(() => {
        pending = undefined;
        renew().catch((error: unknown) =>
          call.parts.log.warn(
            { requestId: call.requestId, name: error instanceof Error ? error.name : typeof error },
            'listen_renewal_failed',
          ),
        );
      }, settleMs);
    },
  };
  const leave = sessions.open(live);
  try {
    await listening.renew(call);
    const web = await handler.fetch(webRequest(exchange, request.signal ?? undefined), { parsedBody: inbound.body });
    await writeResponse(exchange, web, {}, { headFirst: true });
  } finally {
    leave();
    clearTimeout(pending);
    listening.close();
    await handler.close();
  }
}
