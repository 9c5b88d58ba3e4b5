// What MCP servers list and answer, as plain types: the fields that both eras have. Values of a server are data and stay as they came.

/** What a server claims about a tool. A hint for people and models, never a boundary. */
export interface ToolAnnotations {
  title?: string;
  /** It changes nothing. */
  readOnlyHint?: boolean;
  /** It may destroy something. */
  destructiveHint?: boolean;
  /** Repeating it with the same arguments changes nothing more. */
  idempotentHint?: boolean;
  /** It reaches the outside world. */
  openWorldHint?: boolean;
}

/** A JSON Schema of an object, as tools declare their arguments. */
export interface ToolSchema {
  type: 'object';
  properties?: Record<string, object>;
  required?: string[];
  [keyword: string]: unknown;
}

/** A tool as the server lists it for this user. */
export interface McpTool {
  name: string;
  title?: string;
  description?: string;
  inputSchema: ToolSchema;
  outputSchema?: ToolSchema;
  annotations?: ToolAnnotations;
  _meta?: Record<string, unknown>;
}

/** A resource that can be read by its `uri`. */
export interface McpResource {
  uri: string;
  name: string;
  title?: string;
  description?: string;
  mimeType?: string;
  size?: number;
  _meta?: Record<string, unknown>;
}

/** A family of resources: fill the template, then read. */
export interface McpResourceTemplate {
  uriTemplate: string;
  name: string;
  title?: string;
  description?: string;
  mimeType?: string;
  _meta?: Record<string, unknown>;
}

/** What a resource holds: text, or bytes in base64. */
export type McpResourceContents =
  | { uri: string; mimeType?: string; text: string }
  | { uri: string; mimeType?: string; blob: string };

/** A prompt that can be had with `prompts.get`. */
export interface McpPrompt {
  name: string;
  title?: string;
  description?: string;
  arguments?: { name: string; title?: string; description?: string; required?: boolean }[];
  _meta?: Record<string, unknown>;
}

/** One block of an answer. */
export type McpContent =
  | { type: 'text'; text: string }
  | { type: 'image'; data: string; mimeType: string }
  | { type: 'audio'; data: string; mimeType: string }
  | { type: 'resource'; resource: McpResourceContents }
  | { type: 'resource_link'; uri: string; name: string; title?: string; description?: string; mimeType?: string };

/** A prompt with its arguments filled in. */
export interface McpPromptResult {
  description?: string;
  messages: { role: 'user' | 'assistant'; content: McpContent }[];
}

/** The answer of a tool as MCP clients hand it on. */
export interface McpToolResult {
  content: McpContent[];
  structuredContent?: Record<string, unknown>;
  isError?: boolean;
  _meta?: Record<string, unknown>;
}
