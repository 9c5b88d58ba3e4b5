// HTTP as an attacker writes it: header lists with doubles, several identities, odd methods. One keep-alive pool per base URL.
// Follows no redirect and interprets nothing but JSON.
import { Pool } from 'undici';

export interface Sent {
  method: string;
  path: string;
  /** Name, value, name, value: doubles stay doubles. */
  headers?: readonly string[];
  body?: string | Buffer | undefined;
}
export interface Received {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
}

export class Wire {
  readonly #pool: Pool;
  constructor(url: string, connections = 32) {
    this.#pool = new Pool(url, { connections, pipelining: 1, headersTimeout: 60_000, bodyTimeout: 60_000 });
  }

  async send({ method, path, headers = [], body }: Sent): Promise<Received> {
    const response = await this.#pool.request({
      method: method,
      path,
      headers: [...headers],
      ...(body !== undefined && { body }),
    });
    return { status: response.statusCode, headers: response.headers, text: await response.body.text() };
  }

  close(): Promise<void> {
    return this.#pool.destroy();
  }
}

export function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Runs `work` over the items, `width` at a time, in order. */
export async function inParallel<T>(
  items: readonly T[],
  width: number,
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (;;) {
      const index = next++;
      const item = items[index];
      if (item === undefined) return;
      await work(item, index);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
}
