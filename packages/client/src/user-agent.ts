// What the SDK calls itself, and the application that uses it. Words only: a header takes no text of strangers.
import { ConfigError } from './errors.ts';
import { version } from './version.ts';

/** Your application, as it stands in `User-Agent`. */
export interface AppInfo {
  /** 1-64 letters, digits and `-._`. */
  name: string;
  /** The same. */
  version?: string | undefined;
}

export function userAgentOf(app: AppInfo | undefined): string {
  const own = `mcp-valet-client/${version}`;
  if (app === undefined) return own;
  const name = `${app?.name}${app?.version === undefined ? '' : `/${app.version}`}`;
  if (typeof app?.name === 'string' && /^[\w.-]{1,64}(?:\/[\w.-]{1,64})?$/.test(name)) return `${own} ${name}`;
  throw new ConfigError({ message: 'appInfo.name and appInfo.version must be letters, digits and -._' });
}
