// Reads the security schemes of a document and what each operation requires. Knows no secret: `security.ts` fills the schemes.
import { isObject, own, type SecurityScheme, textOf } from './document.ts';
import type { Scene } from './operation.ts';
import { pointerTo, resolve } from './references.ts';
import { upgradeScheme } from './swagger.ts';

export function readSchemes(scene: Scene): Record<string, SecurityScheme> {
  const pointer = scene.isSwagger ? '/securityDefinitions' : '/components/securitySchemes';
  const source = scene.isSwagger
    ? own(scene.root, 'securityDefinitions')
    : own(own(scene.root, 'components'), 'securitySchemes');
  if (!isObject(source)) return {};
  return Object.fromEntries(
    Object.entries(source).map(([name, value]): [string, SecurityScheme] => {
      const found = resolve(scene.root, value, pointerTo(pointer, name));
      const scheme: SecurityScheme =
        typeof found === 'string'
          ? { kind: 'unsupported', what: 'unknown' }
          : schemeOf(scene.isSwagger ? upgradeScheme(found.value) : found.value);
      if (scheme.kind === 'unsupported') {
        scene.note({
          path: pointerTo(pointer, name),
          message: `The security scheme (${scheme.what}) is not supported`,
        });
      }
      return [name, scheme];
    }),
  );
}

const headerName = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;

function schemeOf(value: unknown): SecurityScheme {
  const type = textOf(own(value, 'type'));
  switch (type) {
    case 'apiKey': {
      const place = own(value, 'in');
      const name = textOf(own(value, 'name'));
      if (name === '' || (place !== 'header' && place !== 'query' && place !== 'cookie')) break;
      if (place !== 'query' && !headerName.test(name)) break;
      return { kind: 'apiKey', in: place, name };
    }
    case 'http': {
      const scheme = textOf(own(value, 'scheme')).toLowerCase();
      if (scheme === 'basic' || scheme === 'bearer') return { kind: scheme };
      return { kind: 'unsupported', what: `http ${scheme}`.slice(0, 50) };
    }
    case 'oauth2': {
      const flows = own(value, 'flows');
      return {
        kind: 'oauth2',
        flows: Object.entries(isObject(flows) ? flows : {})
          .filter(([flow, settings]) => !flow.startsWith('x-') && isObject(settings))
          .map(([flow, settings]) => {
            const authorizationUrl = textOf(own(settings, 'authorizationUrl'));
            const tokenUrl = textOf(own(settings, 'tokenUrl'));
            const scopes = own(settings, 'scopes');
            return {
              flow,
              ...(authorizationUrl !== '' && { authorizationUrl }),
              ...(tokenUrl !== '' && { tokenUrl }),
              scopes: isObject(scopes) ? Object.keys(scopes) : [],
            };
          }),
      };
    }
    case 'openIdConnect':
      return { kind: 'openIdConnect', url: textOf(own(value, 'openIdConnectUrl')) };
    default:
      break;
  }
  return { kind: 'unsupported', what: type.slice(0, 50) || 'unknown' };
}

export interface Requirements {
  schemes: Record<string, SecurityScheme>;
  /** What the document requires where an operation says nothing. */
  root: unknown;
}

/** Alternatives of scheme names. A document that declares schemes and requires them nowhere offers each of them, and none. */
export function readRequirements(
  scene: Scene,
  { schemes, root }: Requirements,
  ofOperation: unknown,
  pointer: string,
): string[][] {
  const source = Array.isArray(ofOperation) ? ofOperation : root;
  if (!Array.isArray(source)) return [...Object.keys(schemes).map((name) => [name]), []];
  return source.map((requirement: unknown) => {
    const names = isObject(requirement) ? Object.keys(requirement) : [];
    for (const name of names) {
      if (!Object.hasOwn(schemes, name)) {
        scene.note({ path: pointerTo(pointer, 'security'), message: `The security scheme ${name} is not declared` });
      }
    }
    return names;
  });
}
