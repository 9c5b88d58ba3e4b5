// The gateway as a library: start it inside your own process.
export { createGateway, type Gateway, type GatewayOptions } from './app.ts';
export { type Config, ConfigError, loadConfig } from './config.ts';
export type { TokenPlace, VerifiedUser, VerifyToken } from './identity/session-verifier.ts';
