// The client's types are written out without zod: the same types, under their names, with their documentation.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { writePlainTypes } from '../../packages/client/plain-types.ts';
import { root } from './workspace.ts';

// zod is found from where the client is.
const cache = join(root, 'packages/client/node_modules/.cache');
let folder: string;

beforeAll(() => {
  mkdirSync(cache, { recursive: true });
  folder = mkdtempSync(join(cache, 'plain-types-'));
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function plain(text: string): string {
  const path = join(folder, 'index.d.ts');
  writeFileSync(path, text);
  writePlainTypes(path);
  return readFileSync(path, 'utf8');
}

it('writes inferred types out, keeps names and documentation, and drops what nobody needs', () => {
  const text = plain(`import * as z from 'zod/mini';
declare const user: z.ZodMiniObject<{
    /** Chosen once. */
    name: z.ZodMiniString<string>;
    email: z.ZodMiniOptional<z.ZodMiniNullable<z.ZodMiniString<string>>>;
}, z.core.$strip>;
type User = z.output<typeof user>;
declare const routes: {
    /** One user. */
    get: { reply: typeof user; };
    /** All users. */
    list: { reply: z.ZodMiniArray<typeof user>; };
};
interface Call<T> extends Promise<T> {
    safe(): Promise<T | Error>;
}
type Methods<R extends Record<string, { reply: z.ZodMiniType }>> = {
    readonly [K in keyof R]: (id?: string) => Call<z.output<R[K]['reply']>>;
};
/** The client. */
declare class Client {
    #private;
    readonly users: Methods<typeof routes>;
    /** Any of them. */
    find<N extends string>(name: N): Call<User | undefined>;
}
export { Client, type User };
`);
  expect(text).toBe(`type User = {
    /** Chosen once. */
    name: string;
    email?: string | null | undefined;
};

interface Call<T> extends Promise<T> {
    safe(): Promise<T | Error>;
}

/** The client. */
declare class Client {
    #private;
    readonly users: {
        /** One user. */
        readonly get: (id?: string) => Call<User>;
        /** All users. */
        readonly list: (id?: string) => Call<User[]>;
    };
    /** Any of them. */
    find<N extends string>(name: N): Call<User | undefined>;
}

export { Client, type User };
`);
});

it('leaves open what users may add to', () => {
  const text = plain(`import * as z from 'zod/mini';
declare const say: z.ZodMiniObject<{ text: z.ZodMiniString<string>; }, z.core.$strip>;
interface Registry {
    say: z.output<typeof say>;
}
type Args<N> = N extends keyof Registry ? Registry[N] : unknown;
export type { Args, Registry };
`);
  expect(text).toBe(`interface Registry {
    say: {
        text: string;
    };
}

type Args<N> = N extends keyof Registry ? Registry[N] : unknown;

export type { Args, Registry };
`);
});

it('leaves declarations alone that need no schema', () => {
  const text = 'interface Page<T> {\n    items: T[];\n}\n\nexport type { Page };\n';
  expect(plain(text)).toBe(text);
});

it('refuses an exported type that only a schema can give a meaning', () => {
  const text = `import * as z from 'zod/mini';
type Schema = z.ZodMiniType;
export { type Schema };
`;
  expect(() => plain(text)).toThrow('The public type Schema needs `z.ZodMiniType`');
});
