// Texts of upstreams as parts of TypeScript source: string literals, property names and doc comments. Hostile input: nothing that comes out of
// here can end a literal or a comment, hide what follows, or be read as an instruction to the compiler.

const maxCommentLength = 600;
/** Invisible and direction-changing characters, with which source shows something else than it says. */
const invisible = /[\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** A string literal. `JSON.stringify` escapes quotes, controls and halves of characters; the rest is escaped here. */
export const literal = (text: string): string => JSON.stringify(text).replace(invisible, escaped);

/** The name of a property: bare where that is readable and safe. */
export const propertyName = (name: string): string => (/^[A-Za-z_$][A-Za-z0-9_$]*$/.test(name) ? name : literal(name));

/** The name of a type: never one that TypeScript or the SDK knows, because it ends in a number. */
export function typeName(wish: string, number: number): string {
  const words = wish.split(/[^A-Za-z0-9]+/).filter((word) => word !== '');
  const name = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('');
  return `${/^[A-Z]/.test(name) ? name.slice(0, 60) : 'Type'}_${number}`;
}

/** A doc comment with its line break, or nothing. A tag or directive at the head of a line is defused, the end of a comment taken apart. */
export function docComment(description: unknown, indent: string): string {
  if (typeof description !== 'string') return '';
  const lines = description
    .slice(0, maxCommentLength)
    // Before anything is removed: what is left must not join to something new.
    .replace(/\r\n?|[\u0085\u2028\u2029\v\f]/g, '\n')
    .replace(invisible, '')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is removed
    .replace(/[\u0000-\u0009\u000e-\u001f]/g, ' ')
    .replace(/\p{Surrogate}/gu, '')
    .replace(/\*(?=\/)/g, '* ')
    .replace(/\{@/g, '{\\@')
    .split('\n')
    .map((line) => line.trim().replace(/^([\s*/]*)@/, '$1\\@'))
    .filter((line) => line !== '');
  const more = description.length > maxCommentLength ? ' …' : '';
  if (lines.length === 0) return '';
  if (lines.length === 1) return `${indent}/** ${lines[0]}${more} */\n`;
  return `${indent}/**\n${lines.map((line) => `${indent} * ${line}\n`).join('')}${more && `${indent} *${more}\n`}${indent} */\n`;
}
