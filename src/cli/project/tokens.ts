import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { AntipodeError } from '#core/errors';
import { ROLES, type Role } from '#server/access/roles';
import { type ClearToken, createTokens, parseTokensFile, type TokenSet } from '#server/access/tokens';
import type { ProjectPaths } from './project-paths.ts';

/** Wins over the client tokens file. */
export const TOKEN_VARIABLE = 'ANTIPODE_TOKEN';

const CLIENT_TOKENS = z.strictObject({
  tokens: z
    .array(z.strictObject({ name: z.string(), role: z.enum(ROLES), token: z.string().min(1).max(512) }))
    .max(256),
});

/**
 * Makes one token a role, unless there are tokens already: their hashes for the regions, and the tokens themselves in a
 * file of its own that only its owner may read. Returns whether it made them.
 */
export async function ensureTokens(paths: ProjectPaths): Promise<boolean> {
  if (await exists(paths.tokens)) return false;
  const { clear, file } = createTokens();
  // The clear texts first: hashes of tokens that nobody knows would lock everybody out.
  await writeSecret(paths.clientTokens, { tokens: clear });
  await writeSecret(paths.tokens, file);
  return true;
}

/** The hashes that faces check requests against; null when there is no tokens file. */
export async function readTokenSet(paths: ProjectPaths): Promise<TokenSet | null> {
  const text = await readIfThere(paths.tokens);
  return text === undefined ? null : parseTokensFile(text, paths.tokens);
}

/** The weakest token of this machine's owner that may do what the role may; undefined when there is none. */
export async function clientToken(paths: ProjectPaths, role: Role): Promise<string | undefined> {
  const fromEnvironment = process.env[TOKEN_VARIABLE];
  if (fromEnvironment !== undefined && fromEnvironment !== '') return fromEnvironment;
  const tokens = await readClientTokens(paths);
  const strong = ROLES.slice(ROLES.indexOf(role));
  for (const each of strong) {
    const found = tokens.find((token) => token.role === each);
    if (found !== undefined) return found.token;
  }
  return undefined;
}

/** A sentence for people when others on this machine may read the clear tokens. */
export async function clientTokensWarning(paths: ProjectPaths): Promise<string | undefined> {
  const found = await stat(paths.clientTokens).catch(() => undefined);
  const mode = found === undefined ? 0 : found.mode & 0o777;
  return (mode & 0o077) === 0
    ? undefined
    : `${paths.clientTokens} is readable by others (mode ${mode.toString(8)}); make it 600`;
}

async function readClientTokens(paths: ProjectPaths): Promise<readonly ClearToken[]> {
  const text = await readIfThere(paths.clientTokens);
  if (text === undefined) return [];
  const parsed = CLIENT_TOKENS.safeParse(parseJson(text));
  if (parsed.success) return parsed.data.tokens;
  throw new AntipodeError('CONFIG_INVALID', 'the file of client tokens does not have the expected shape', {
    where: paths.clientTokens,
    remedy: `Set ${TOKEN_VARIABLE}, or remove both tokens files and make new ones with: antipode up.`,
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new AntipodeError('CONFIG_INVALID', `${file} cannot be read: ${(cause as Error).message}`, {
      where: file,
      cause,
      remedy: 'Check the permissions of the file.',
    });
  }
}

async function exists(file: string): Promise<boolean> {
  return (await stat(file).catch(() => undefined)) !== undefined;
}

async function writeSecret(file: string, content: unknown): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await rm(file, { force: true });
  await writeFile(file, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600, flush: true, flag: 'wx' });
}
