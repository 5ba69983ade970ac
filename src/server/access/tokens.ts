import { randomBytes, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { AntipodeError } from '#core/errors';
import { sha256, sha256Hex } from '#core/hash';
import { ROLES, type Role } from '#server/access/roles';

/** A token as kept on disk: only its hash, so that the file does not grant what it describes. */
export interface TokenRecord {
  readonly name: string;
  readonly role: Role;
  /** SHA-256 of the token's text, 64 hexadecimal digits. */
  readonly sha256: string;
}

export interface TokensFile {
  readonly tokens: readonly TokenRecord[];
}

/** A token as shown once, to the person it is made for. */
export interface ClearToken {
  readonly name: string;
  readonly role: Role;
  readonly token: string;
}

/** Random bytes in a token: out of reach of guessing, so that one unsalted hash is enough and login needs no delay. */
const TOKEN_BYTES = 32;
/** More tokens than this make every refused request slow: each is compared with all. */
export const TOKENS_MAX = 256;
/** Longest text that is hashed at all. */
export const TOKEN_LENGTH_MAX = 512;

const TOKENS_FILE = z.strictObject({
  tokens: z
    .array(
      z.strictObject({
        name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/),
        role: z.enum(ROLES),
        sha256: z.string().regex(/^[0-9a-f]{64}$/),
      }),
    )
    .max(TOKENS_MAX),
});

/** Makes one token for each role: the clear texts for their owners, and the records for the tokens file. */
export function createTokens(names: readonly { readonly name: string; readonly role: Role }[] = defaultNames()): {
  readonly clear: readonly ClearToken[];
  readonly file: TokensFile;
} {
  const clear = names.map(({ name, role }) => ({
    name,
    role,
    token: `antipode_${role}_${randomBytes(TOKEN_BYTES).toString('base64url')}`,
  }));
  return { clear, file: { tokens: clear.map(({ name, role, token }) => ({ name, role, sha256: sha256Hex(token) })) } };
}

function defaultNames(): { name: string; role: Role }[] {
  return ROLES.map((role) => ({ name: role, role }));
}

/** Parses the text of a tokens file. CONFIG_INVALID names the file and the first thing wrong with it. */
export function parseTokensFile(text: string, file: string): TokenSet {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new AntipodeError('CONFIG_INVALID', 'the tokens file is not JSON', { where: file, cause });
  }
  const parsed = TOKENS_FILE.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new AntipodeError(
      'CONFIG_INVALID',
      `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'unexpected shape'}`,
      {
        where: file,
        remedy: 'Write the tokens file anew with: antipode init.',
      },
    );
  }
  return new TokenSet(parsed.data.tokens, file);
}

/** A token that was recognised. */
export interface KnownToken {
  readonly name: string;
  readonly role: Role;
  readonly digest: Buffer;
}

/** The tokens a face knows. Two records of one name or one hash would make audit entries ambiguous and are refused. */
export class TokenSet {
  readonly #records: readonly KnownToken[];

  constructor(records: readonly TokenRecord[], where = 'tokens') {
    for (const field of ['name', 'sha256'] as const) {
      if (new Set(records.map((record) => record[field])).size !== records.length) {
        throw new AntipodeError('CONFIG_INVALID', `two tokens have the same ${field}`, { where });
      }
    }
    this.#records = records.map(({ name, role, sha256: hex }) => ({ name, role, digest: Buffer.from(hex, 'hex') }));
  }

  get size(): number {
    return this.#records.length;
  }

  /** Who the token belongs to. Takes the same time whichever record matches, if any. */
  authenticate(token: string): KnownToken | undefined {
    if (token.length > TOKEN_LENGTH_MAX) return undefined;
    const digest = sha256(Buffer.from(token, 'utf8'));
    let found: KnownToken | undefined;
    for (const record of this.#records) if (timingSafeEqual(record.digest, digest)) found = record;
    return found;
  }

  named(name: string): KnownToken | undefined {
    return this.#records.find((record) => record.name === name);
  }
}
