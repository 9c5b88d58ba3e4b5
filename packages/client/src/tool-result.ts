// What a tool answered, with the three ways to read it. The values are the server's; nothing is guessed from their text.
import { ResponseError, ToolError } from './errors.ts';

/** One block of a result, as MCP defines it: `text`, `image`, `audio`, `resource`, `resource_link`. */
export interface ContentBlock {
  type: string;
  text?: string;
  [field: string]: unknown;
}

/** The answer of a tool. `isError` is the tool saying no; a refusal of the gateway is thrown instead. */
export interface ToolResult<T = unknown> {
  /** What the tool said, block by block. */
  content: ContentBlock[];
  /** The answer as data, when the tool declares its shape. */
  structuredContent?: T;
  /** The tool itself said no. */
  isError: boolean;
  /** What servers attach for programs. */
  _meta?: Record<string, unknown>;
  /** All text blocks, one per line. */
  text(): string;
  /** `structuredContent`, or the text parsed as JSON. Throws ResponseError when it is neither. */
  json<J = T>(): J;
  /** This result, or ToolError when the tool said no. */
  orThrow(): this;
  /** @deprecated The result itself, for code that was written for the raw JSON-RPC envelope. */
  readonly result: this;
}

export const toolSaidNo = 'The tool reported an error; its own words are in error.result';

class Result<T> implements ToolResult<T> {
  declare content: ContentBlock[];
  declare structuredContent?: T;
  declare isError: boolean;

  constructor(answer: Record<string, unknown>) {
    // Own properties only, one by one: an answer must not replace a method, nor set a prototype.
    for (const [key, value] of Object.entries(answer)) {
      if (!(key in Object.getPrototypeOf(this)))
        Object.defineProperty(this, key, { value, enumerable: true, configurable: true, writable: true });
    }
    this.isError = answer['isError'] === true;
  }

  get result(): this {
    return this;
  }

  text(): string {
    return this.content
      .flatMap((block) => (block.type === 'text' && typeof block.text === 'string' ? [block.text] : []))
      .join('\n');
  }

  json<J = T>(): J {
    if (this.structuredContent !== undefined) return this.structuredContent as unknown as J;
    try {
      return JSON.parse(this.text()) as J;
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      throw new ResponseError({ message: 'The tool answered no JSON', code: 'NOT_JSON', executed: 'yes' });
    }
  }

  orThrow(): this {
    if (this.isError) throw new ToolError<ToolResult<T>>({ message: toolSaidNo, result: this });
    return this;
  }
}

/** A ToolResult over a parsed answer; `undefined` when it has no content. */
export function toToolResult<T>(answer: Record<string, unknown>): ToolResult<T> | undefined {
  const { content } = answer;
  const isBlock = (block: unknown) =>
    typeof block === 'object' && block !== null && typeof (block as ContentBlock).type === 'string';
  return Array.isArray(content) && content.every(isBlock) ? new Result<T>(answer) : undefined;
}
