// Watches the HTTP exchange of one call from beside the SDK: what the status said, whether the answer ended without the response, and the
// end of an exchange that nobody waits for any more. Must not change a byte of it.
import type { HttpNote } from './mcp-http-sdk-failure.ts';

/** How long an answer that has ended may still be on its way through the SDK. */
const settleMs = 50;

export interface Pending {
  note: HttpNote;
  end: () => void;
  /** Ends the exchange itself: the SDK leaves a cancelled one of the 2025 era to the upstream. */
  cut: AbortController;
}

/** The exchange ends with its connection. By hand: the connection's signal lives long. */
export function linked(connection: AbortSignal | null | undefined, cut: AbortController): AbortSignal {
  const onAbort = (): void => cut.abort(connection?.reason);
  if (connection?.aborted) onAbort();
  connection?.addEventListener('abort', onAbort, { once: true });
  cut.signal.addEventListener('abort', () => connection?.removeEventListener('abort', onAbort), { once: true });
  return cut.signal;
}

/** Notes what HTTP said, and notices an answer that ends without the response: the SDK would wait for it for ever. */
export function observe(response: Response, { note, end }: Pending): Response {
  note.status = response.status;
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  if (Number.isFinite(seconds) && seconds >= 0) note.retryAfterMs = Math.min(seconds * 1000, 3_600_000);
  // 202: the response comes on the upstream's own stream.
  if (response.body === null || response.status !== 200) return response;
  const reader = response.body.getReader();
  let tail = '';
  let isResumable = false;
  const finish = (): void => {
    if (!isResumable) setTimeout(end, settleMs).unref();
  };
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (done) {
            controller.close();
            finish();
            return;
          }
          // An event with an id may be asked for again, and the SDK does. The zero byte keeps a cut line from looking like a new one.
          const text = tail + Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1');
          isResumable ||= /(?:^|[\r\n])id:/.test(text);
          tail = `\u0000${text.slice(-3)}`;
          controller.enqueue(value);
        } catch (error) {
          finish();
          controller.error(error);
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { status: response.status, headers: response.headers });
}
