// Says an operation of OpenAPI 2.0 in the words of 3.1: body and form parameters become a request body, collection formats become styles.
// One operation at a time, so that an odd one costs only itself. Works on parameters whose references have been followed.
import { isObject, own, type Style, textOf } from './document.ts';
import type { Found } from './references.ts';

const schemaWords = [
  'type',
  'format',
  'items',
  'default',
  'enum',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'uniqueItems',
  'multipleOf',
  'pattern',
  'x-nullable',
  'x-example',
];

const styles: Record<string, { style: Style; explode: boolean }> = {
  ssv: { style: 'spaceDelimited', explode: false },
  pipes: { style: 'pipeDelimited', explode: false },
  tsv: { style: 'tabDelimited', explode: false },
  multi: { style: 'form', explode: true },
};

/** The schema that a 2.0 parameter is itself. */
function schemaOf(parameter: Record<string, unknown>): Record<string, unknown> {
  const entries = schemaWords.flatMap((word): [string, unknown][] =>
    Object.hasOwn(parameter, word) ? [[word === 'x-example' ? 'example' : word, parameter[word]]] : [],
  );
  return Object.fromEntries(entries);
}

/** How an array travels; comma-separated unless it says otherwise. */
function styleOf(parameter: Record<string, unknown>): { style: Style; explode: boolean } {
  const simple = parameter['in'] === 'path' || parameter['in'] === 'header';
  const plain = { style: simple ? 'simple' : 'form', explode: false } as const;
  const named = styles[textOf(parameter['collectionFormat'])];
  return named === undefined || (simple && named.style === 'form') ? plain : named;
}

export interface UpgradedOperation {
  parameters: Found[];
  requestBody: Record<string, unknown> | undefined;
}

export function upgradeParameters(parameters: readonly Found[], consumes: readonly string[]): UpgradedOperation {
  const plain: Found[] = [];
  const form: Record<string, unknown>[] = [];
  let body: Record<string, unknown> | undefined;
  for (const found of parameters) {
    const parameter = found.value as Record<string, unknown>;
    if (parameter['in'] === 'formData') form.push(parameter);
    else if (parameter['in'] === 'body') body = parameter;
    else
      plain.push({
        value: { ...parameter, schema: schemaOf(parameter), ...styleOf(parameter) },
        pointer: found.pointer,
      });
  }
  if (body !== undefined) {
    const types = consumes.length > 0 ? consumes : ['application/json'];
    const media = { schema: own(body, 'schema') };
    const content = Object.fromEntries(types.map((type) => [type, media]));
    const { required, description } = body;
    return { parameters: plain, requestBody: { required, description, content } };
  }
  if (form.length === 0) return { parameters: plain, requestBody: undefined };
  return { parameters: plain, requestBody: formBody(form, consumes) };
}

function formBody(form: readonly Record<string, unknown>[], consumes: readonly string[]): Record<string, unknown> {
  const named = form.filter((parameter) => typeof parameter['name'] === 'string');
  const nameOf = (parameter: Record<string, unknown>): string => textOf(parameter['name']);
  const required = named.filter((parameter) => parameter['required'] === true).map(nameOf);
  const media = {
    schema: {
      type: 'object',
      properties: Object.fromEntries(
        named.map((parameter) => [
          nameOf(parameter),
          { ...schemaOf(parameter), description: textOf(parameter['description']) },
        ]),
      ),
      ...(required.length > 0 && { required }),
    },
    encoding: Object.fromEntries(
      named
        .filter((parameter) => parameter['type'] === 'array')
        .map((parameter) => [nameOf(parameter), styleOf(parameter)]),
    ),
  };
  const hasFile = named.some((parameter) => parameter['type'] === 'file');
  const isForm = (type: string): boolean =>
    type.startsWith('multipart/form-data') || (!hasFile && type.startsWith('application/x-www-form-urlencoded'));
  const types = consumes.filter(isForm);
  const chosen = types.length > 0 ? types : [hasFile ? 'multipart/form-data' : 'application/x-www-form-urlencoded'];
  return {
    required: required.length > 0,
    content: Object.fromEntries(chosen.map((type) => [type, media])),
  };
}

/** Base URLs of a 2.0 document. */
export function serversOf(root: Record<string, unknown>): string[] {
  // Some write the scheme into the host, and leave out the slash before the path.
  const host = textOf(own(root, 'host')).replace(/^\w+:\/\//, '');
  const basePath = textOf(own(root, 'basePath')).replace(/^(?=[^/])/, '/');
  if (host === '') return basePath === '' ? [] : [basePath];
  const schemes = own(root, 'schemes');
  const named = ['https', 'http'].filter((scheme) => Array.isArray(schemes) && schemes.includes(scheme));
  return (named.length === 0 ? ['https'] : named).map((scheme) => `${scheme}://${host}${basePath}`);
}

const flowNames: Record<string, string> = { application: 'clientCredentials', accessCode: 'authorizationCode' };

/** A 2.0 security definition in the words of 3.x. */
export function upgradeScheme(definition: unknown): unknown {
  if (!isObject(definition)) return definition;
  if (definition['type'] === 'basic') return { type: 'http', scheme: 'basic' };
  if (definition['type'] !== 'oauth2') return definition;
  const flow = textOf(definition['flow']);
  const { authorizationUrl, tokenUrl, scopes } = definition;
  return {
    type: 'oauth2',
    flows: { [flowNames[flow] ?? (flow || 'implicit')]: { authorizationUrl, tokenUrl, scopes } },
  };
}
