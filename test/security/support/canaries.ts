// Values that must turn up in one place only, and the search for them in every form in which they could turn up elsewhere.
// All canaries of a run share a random stem: a text without any form of the stem holds none of them.
import { randomBytes } from 'node:crypto';

/** base64 text that stands in any longer encoded text around `bytes`, at each of the three alignments. */
function base64Cores(bytes: Buffer): string[] {
  return [0, 1, 2].map((lead) => {
    const text = Buffer.concat([Buffer.alloc(lead), bytes])
      .toString('base64')
      .replace(/=+$/, '');
    // The first and last characters hold bits of the neighbours.
    return text.slice(lead === 0 ? 0 : lead + 1, Math.floor(((lead + bytes.length) * 8) / 6));
  });
}

/** Every form of a value that the oracle knows: raw, JSON, percent, form, hex, base64 and base64url at three alignments. */
export function formsOf(value: string): string[] {
  const bytes = Buffer.from(value, 'utf8');
  const percentAll = [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
  const unicode = [...value].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('');
  const cores = base64Cores(bytes);
  return [
    ...new Set([
      value,
      JSON.stringify(value).slice(1, -1),
      encodeURIComponent(value),
      percentAll,
      percentAll.toUpperCase(),
      unicode,
      bytes.toString('hex'),
      bytes.toString('hex').toUpperCase(),
      ...cores,
      ...cores.map((core) => core.replaceAll('+', '-').replaceAll('/', '_')),
    ]),
  ];
}

export class Canaries {
  /** 18 characters: also the first 12 of a canary would be found. */
  readonly stem = `Vx${randomBytes(8).toString('hex')}`;
  readonly #needles = formsOf(this.stem.slice(0, 12));
  readonly #made = new Map<string, string>();

  /** A secret whose characters need escaping in URLs, JSON and forms, and which a header may carry. */
  make(owner: string): string {
    const value = `${this.stem}/+="&${randomBytes(9).toString('base64url')}~${this.#made.size}`;
    this.#made.set(value, owner);
    return value;
  }

  get all(): ReadonlyMap<string, string> {
    return this.#made;
  }

  /** The place of the first form of any canary, with its surroundings; undefined: the text is clean. */
  find(text: string): string | undefined {
    for (const needle of this.#needles) {
      const at = text.indexOf(needle);
      if (at >= 0) return text.slice(Math.max(0, at - 40), at + 60);
    }
    return undefined;
  }

  /** Owners of the canaries that stand in the text as they are. */
  ownersIn(text: string): string[] {
    if (!text.includes(this.stem)) return [];
    return [...this.#made]
      .filter(([value]) => text.includes(value) || text.includes(JSON.stringify(value).slice(1, -1)))
      .map(([, owner]) => owner);
  }
}

/** Finds inbound tokens by the random part of their text: kind and first four characters may be shown. */
export function tokenNeedle(token: string): string {
  return token.startsWith('mcpv_') ? token.slice(14, 40) : token;
}
