// How people manage whom an account believes about its users: issuers of tokens, session verifiers, and single tokens that are refused. A
// secret is made here, shown once and sealed; no reply shows it again.
import { randomBytes } from 'node:crypto';
import type { Contract, Issuer, RouteInput } from '@mcp-valet/shared';
import type { Ctx, Handler } from '../context.ts';
import { newWebhookSecret } from '../crypto/webhook-signature.ts';
import { isUniqueViolation } from '../db/errors.ts';
import { newId } from '../ids.ts';
import { closePage, openPage } from '../page.ts';
import { Refusal } from '../refusal.ts';
import { discoverKeys } from './discovery.ts';
import { blankConfig, isProblem, type PresetFacts, presetFacts } from './presets.ts';
import {
  deleteIssuer,
  getIssuer,
  type IssuerConfig,
  type IssuerRow,
  insertIssuer,
  listIssuers,
  listNamesakes,
  listVerifiers,
  lockIssuer,
  refuseToken,
  secretPlace,
  updateIssuer,
} from './store.ts';

type Routes = Contract['issuers'];
type CreateBody = RouteInput<Routes['create']>['body'];
type JwtBody = Extract<CreateBody, { type: 'jwt' }>;
type UpdateBody = RouteInput<Routes['update']>['body'];

const configOf = (row: IssuerRow): IssuerConfig => row.config as unknown as IssuerConfig;

function shown(row: IssuerRow): Issuer {
  const { requiresType: _, ...config } = configOf(row);
  return {
    ...config,
    issuerId: row.id,
    name: row.name,
    type: row.type,
    issuer: row.issuer,
    enabled: row.enabled,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}

const invalid = (path: string, message: string): Refusal =>
  new Refusal('INVALID_REQUEST', `Invalid request: ${path}: ${message}`, { details: { issues: [{ path, message }] } });
const contradicts = (message: string): Refusal => new Refusal('UNPROCESSABLE', message);

/** The fields that were sent and that are part of the stored configuration. */
function sentConfig(body: CreateBody | UpdateBody): Partial<IssuerConfig> {
  const known = new Set(Object.keys(blankConfig));
  const sent = Object.fromEntries(
    Object.entries(body).filter(([name, value]) => known.has(name) && value !== undefined),
  ) as Partial<IssuerConfig>;
  return { ...sent, ...(sent.tokenTypes !== undefined && { requiresType: true }) };
}

function checkUrl(ctx: Pick<Ctx, 'parts'>, path: string, url: string): void {
  try {
    ctx.parts.egress.check(url);
  } catch (error) {
    // The guard's sentences are written for people and quote nothing.
    if (!(error instanceof Error) || error.name !== 'EgressError') throw error;
    throw invalid(path, error.message);
  }
}

/** What the preset knows; refuses what is missing for it. */
function factsOf(body: JwtBody): PresetFacts {
  const facts = presetFacts(body);
  if (isProblem(facts)) throw invalid(facts.path, facts.message);
  return facts;
}

/** Key addresses that were asked for before the transaction, by the body that needed them. */
const discovered = new WeakMap<object, string>();

function jwtConfig(body: JwtBody, ctx: Ctx): { issuer: string; config: IssuerConfig } {
  const facts = factsOf(body);
  const issuer = body.issuer ?? facts.issuer;
  if (issuer === undefined) throw invalid('issuer', 'Is needed: the exact iss of the tokens');
  const { issuer: _, ...known } = facts;
  const config: IssuerConfig = { ...blankConfig, ...known, ...sentConfig(body), preset: body.preset ?? 'custom' };
  if (config.audience.length === 0) throw invalid('audience', 'Is needed: whom the tokens are meant for');
  if (body.sharedSecret === true) {
    if (body.jwksUri !== undefined || config.preset !== 'custom')
      throw contradicts('Tokens are verified with a shared secret or with keys at an address, not both');
    config.algorithms = body.algorithms ?? ['HS256'];
    config.jwksUri = null;
    if (config.algorithms.some((one) => one !== 'HS256')) throw contradicts('A shared secret is for HS256 only');
  } else {
    config.jwksUri ??= discovered.get(body) ?? null;
    if (config.jwksUri === null) throw invalid('jwksUri', 'Is needed');
    checkKeys(ctx, config);
  }
  return { issuer, config };
}

function checkKeys(ctx: Pick<Ctx, 'parts'>, { algorithms, jwksUri }: IssuerConfig): void {
  if (algorithms.includes('HS256')) throw contradicts('HS256 needs sharedSecret: true; public keys are no secret');
  if (jwksUri !== null) checkUrl(ctx, 'jwksUri', jwksUri);
}

/** Which of two issuers of one name is meant must be decided by the audience. */
async function refuseNamesake(ctx: Ctx, iss: string, { audience }: IssuerConfig, butId: string): Promise<void> {
  const others = await listNamesakes(ctx.db, ctx.principal.accountId, iss, butId);
  if (others.some((row) => configOf(row).audience.some((one) => audience.includes(one))))
    throw new Refusal('CONFLICT', 'Another issuer of the account has this iss and audience');
}

/** Which verifier is asked must be decided by how a token begins. */
async function refuseSamePrefix(ctx: Ctx, { tokenPrefix }: IssuerConfig, butId: string): Promise<void> {
  const others = await listVerifiers(ctx.db, ctx.principal.accountId, butId);
  if (others.some((row) => configOf(row).tokenPrefix === tokenPrefix))
    throw new Refusal('CONFLICT', 'Another verifier of the account takes these tokens; set tokenPrefix');
}

const nameTaken = (error: unknown): unknown =>
  isUniqueViolation(error, 'issuers_name') ? new Refusal('CONFLICT', 'An issuer with this name exists') : error;

const told = (ctx: Ctx, row: IssuerRow): void =>
  ctx.note({ target: row.id, details: { name: row.name, type: row.type, enabled: row.enabled } });

const create: Handler<Routes['create']> = async ({ body }, ctx) => {
  ctx.note({ details: { name: body.name, type: body.type } });
  const { accountId } = ctx.principal;
  const id = newId('iss');
  let issuer: string | null = null;
  let config: IssuerConfig;
  let secret: string | undefined;
  if (body.type === 'jwt') {
    ({ issuer, config } = jwtConfig(body, ctx));
    // Its text is the key: what signing libraries do with a string. 43 characters are 256 random bits.
    if (body.sharedSecret === true) secret = randomBytes(32).toString('base64url');
    await refuseNamesake(ctx, issuer, config, id);
  } else {
    config = { ...blankConfig, usernameClaim: 'username', algorithms: [], ...sentConfig(body) };
    if (config.url === null) throw invalid('url', 'Is needed: what is asked about a token');
    checkUrl(ctx, 'url', config.url);
    secret = newWebhookSecret();
    await refuseSamePrefix(ctx, config, id);
  }
  const sealed =
    secret === undefined ? null : ctx.parts.keyring.sealState(Buffer.from(secret), ...secretPlace(accountId, id));
  try {
    const row = await insertIssuer(ctx.db, {
      id,
      accountId,
      name: body.name,
      type: body.type,
      issuer,
      config: { ...config },
      secret: sealed,
      enabled: body.enabled ?? true,
    });
    told(ctx, row);
    ctx.changed('issuers:*');
    return { ...shown(row), ...(secret !== undefined && { secret }) };
  } catch (error) {
    throw nameTaken(error);
  }
};

/** A provider that is asked where its keys are takes its time: before the transaction. */
create.prepare = async ({ body }, { parts }) => {
  if (body.type !== 'jwt' || body.sharedSecret === true || body.jwksUri !== undefined) return;
  const facts = factsOf(body);
  const issuer = body.issuer ?? facts.issuer;
  if (issuer === undefined || facts.jwksUri !== undefined) return;
  discovered.set(body, await discoverKeys(parts.egress, issuer));
};

const list: Handler<Routes['list']> = async ({ query }, ctx) => {
  const page = openPage('issuers', ['text'], query);
  const { rows: read, total } = await listIssuers(ctx.db, ctx.principal.accountId, page);
  const { rows, facts } = closePage(page, read, total, (row) => [row.name]);
  return { issuers: rows.map(shown), ...facts };
};

const get: Handler<Routes['get']> = async ({ params }, ctx) =>
  shown(await getIssuer(ctx.db, ctx.principal.accountId, params.issuerId));

const ofJwt = [
  'issuer',
  'audience',
  'audienceClaim',
  'algorithms',
  'jwksUri',
  'tokenTypes',
  'requiredClaims',
  'clockToleranceSeconds',
  'maxLifetimeSeconds',
] as const;
const ofWebhook = ['url', 'tokenPrefix', 'cacheSeconds'] as const;

function refuseForeignFields(row: IssuerRow, body: UpdateBody): void {
  const foreign = (row.type === 'jwt' ? ofWebhook : ofJwt).find((name) => body[name] !== undefined);
  if (foreign !== undefined) throw contradicts(`An issuer of type ${row.type} has no ${foreign}`);
  if (body.issuer !== undefined && body.issuer !== row.issuer)
    throw contradicts('The iss of an issuer stays: its subjects are who they are by it');
  const hasSecret = row.type === 'jwt' && row.secret !== null;
  if (hasSecret && (body.jwksUri !== undefined || body.algorithms?.some((one) => one !== 'HS256') === true))
    throw contradicts('An issuer with a shared secret is for HS256 only');
}

const update: Handler<Routes['update']> = async ({ params, body }, ctx) => {
  ctx.note({ target: params.issuerId });
  const before = await lockIssuer(ctx.db, ctx.principal.accountId, params.issuerId);
  refuseForeignFields(before, body);
  const config: IssuerConfig = { ...configOf(before), ...sentConfig(body) };
  if (before.type === 'jwt') {
    if (before.secret === null) checkKeys(ctx, config);
    await refuseNamesake(ctx, before.issuer ?? '', config, before.id);
  } else {
    if (config.url !== null) checkUrl(ctx, 'url', config.url);
    await refuseSamePrefix(ctx, config, before.id);
  }
  try {
    const row = await updateIssuer(ctx.db, before.accountId, before.id, {
      name: body.name ?? before.name,
      config: { ...config },
      enabled: body.enabled ?? before.enabled,
    });
    told(ctx, row);
    ctx.changed('issuers:*');
    // Who signed in by the old rules signs in again, streams included.
    ctx.changed(`key:${row.id}`);
    return shown(row);
  } catch (error) {
    throw nameTaken(error);
  }
};

const remove: Handler<Routes['delete']> = async ({ params }, ctx) => {
  ctx.note({ target: params.issuerId });
  const row = await lockIssuer(ctx.db, ctx.principal.accountId, params.issuerId);
  await deleteIssuer(ctx.db, row.accountId, row.id);
  told(ctx, row);
  ctx.changed('issuers:*');
  ctx.changed(`key:${row.id}`);
  return { status: 'deleted', issuerId: row.id };
};

const revokeToken: Handler<Routes['revokeToken']> = async ({ params, body }, ctx) => {
  ctx.note({ target: params.issuerId, details: { token_id: body.tokenId } });
  const row = await lockIssuer(ctx.db, ctx.principal.accountId, params.issuerId);
  const { maxLifetimeSeconds, clockToleranceSeconds } = configOf(row);
  const expiresAt =
    body.expiresAt === undefined
      ? new Date(Date.now() + (maxLifetimeSeconds + 2 * clockToleranceSeconds) * 1000)
      : new Date(body.expiresAt);
  const { accountId, id: issuerId } = row;
  const until = await refuseToken(ctx.db, { accountId, issuerId, tokenId: body.tokenId, expiresAt });
  // Everybody of this issuer is looked at again, and its streams end: which one had the token is not known.
  ctx.changed(`key:${issuerId}`);
  return { status: 'revoked', issuerId, tokenId: body.tokenId, expiresAt: until.toISOString() };
};

export const issuerHandlers = { create, list, get, update, delete: remove, revokeToken } satisfies {
  [M in keyof Routes]: Handler<Routes[M]>;
};
