// The version sent as User-Agent. A test keeps it equal to package.json: reading the manifest would need `node:` imports.
export const version = '0.1.0';
