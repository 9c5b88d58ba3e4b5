// The form of what is stored as JSON, and the kinds of keys. The contract checks it on its way in. Types only.

/** Rules as stored; the contract gives them their form. */
export interface Permission {
  connector: string;
  mode: 'allow' | 'block';
  actions: string[];
}
export interface Requirement {
  connector?: string | undefined;
  actions: string[];
  scopes?: string[] | undefined;
  claims?: { claim: string; oneOf: (string | number | boolean)[] }[] | undefined;
  message?: string | undefined;
}
export type KeyKind = 'adm' | 'ent' | 'std' | 'url' | 'usr';

/** What a delegated token may: `null` is "all that its user may". */
export interface Delegation {
  servers: string[] | null;
  permissions: Permission[] | null;
  maxCalls: number | null;
  mintedBy: string;
}
