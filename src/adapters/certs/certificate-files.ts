import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { IssuedCertificate } from '#adapters/certs/authority';
import type { Credentials } from '#adapters/certs/credentials';
import { AntipodeError } from '#core/errors';

const DIRECTORY_MODE = 0o700;
const KEY_MODE = 0o600;
const CERTIFICATE_MODE = 0o644;

export interface CredentialFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
}

/**
 * Writes `<name>.crt` and `<name>.key` (readable by the owner only), each replaced atomically and durable on return.
 * A directory made here is the owner's alone; one that exists keeps its mode. The two files do not change in one step:
 * a reader between them finds a key that does not match and should keep what it has (`checkCredentials` tells).
 */
export async function writeCertificate(
  directory: string,
  name: string,
  issued: IssuedCertificate,
): Promise<{ readonly certFile: string; readonly keyFile: string }> {
  const certFile = join(directory, `${name}.crt`);
  const keyFile = join(directory, `${name}.key`);
  await replaceFile(keyFile, issued.keyPem, KEY_MODE);
  await replaceFile(certFile, issued.certPem, CERTIFICATE_MODE);
  return { certFile, keyFile };
}

/** Writes a bundle of authority certificates, without keys: what nodes get as `caFile`. */
export async function writeAuthorities(file: string, caPem: string): Promise<void> {
  await replaceFile(file, caPem, CERTIFICATE_MODE);
}

/** Reads a certificate with its key. CERTIFICATE_INVALID names the file that is missing or unreadable. */
export async function readCertificate(certFile: string, keyFile: string): Promise<IssuedCertificate> {
  return { certPem: await readPem(certFile), keyPem: await readPem(keyFile) };
}

/** Reads a node's credentials; they are not checked yet (`checkCredentials`). */
export async function readCredentials(files: CredentialFiles): Promise<Credentials> {
  return { ...(await readCertificate(files.certFile, files.keyFile)), caPem: await readPem(files.caFile) };
}

/** A sentence for people when others on this machine may read a key file. */
export async function keyFileWarning(keyFile: string): Promise<string | undefined> {
  const mode = (await stat(keyFile)).mode & 0o777;
  return (mode & 0o077) === 0 ? undefined : `${keyFile} is readable by others (mode ${mode.toString(8)}); make it 600`;
}

async function readPem(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new AntipodeError('CERTIFICATE_INVALID', `cannot read ${file}`, { where: file, cause });
  }
}

async function replaceFile(file: string, content: string, mode: number): Promise<void> {
  const directory = dirname(file);
  const temporary = join(directory, `.${basename(file)}.${randomBytes(6).toString('hex')}`);
  try {
    await mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
    await writeSynced(temporary, content, mode);
    await rename(temporary, file);
    await syncDirectory(directory);
  } catch (cause) {
    await unlink(temporary).catch(() => undefined);
    throw new AntipodeError('CERTIFICATE_INVALID', `cannot write ${file}`, {
      where: file,
      cause,
      remedy: 'Make sure that the folder can be written and that its disk is not full.',
    });
  }
}

async function writeSynced(file: string, content: string, mode: number): Promise<void> {
  const handle = await open(file, 'wx', mode);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
