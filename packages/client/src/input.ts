// What callers may add to an execution beside its arguments: a schema for the output, and answers to what the tool asks. Types only.

/** What a tool asks its caller, by name: `elicitation/create` with a message and a schema of the answer. Texts are the tool's: show, never trust. */
export type InputRequests = Readonly<Record<string, { method: string; params?: Readonly<Record<string, unknown>> }>>;

/** Answers by the names of the questions: `{ action: 'accept', content: { … } }`, or `decline`, or `cancel`. */
export type InputResponses = Readonly<
  Record<string, { action: 'accept' | 'decline' | 'cancel'; content?: Readonly<Record<string, unknown>> }>
>;

/** A schema of any library that speaks Standard Schema: zod, valibot, arktype. */
export interface OutputSchema<T = unknown> {
  /** What libraries for schemas have in common: Standard Schema, version 1. */
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<T> | Promise<SchemaResult<T>>;
    readonly types?: { readonly input: unknown; readonly output: T } | undefined;
  };
}

type SchemaResult<T> =
  | { readonly value: T; readonly issues?: undefined }
  | {
      readonly issues: readonly {
        readonly message: string;
        readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
      }[];
    };

/** Options of one execution. */
export interface WithOutput<T> {
  /** Checks `structuredContent`, or the text as JSON, and types it. What does not fit throws ResponseError; the tool has run then. */
  output?: OutputSchema<T> | undefined;
}
