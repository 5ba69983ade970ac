import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { createAuthority, issueCertificate } from '#adapters/certs/authority';
import {
  keyFileWarning,
  readCertificate,
  readCredentials,
  writeAuthorities,
  writeCertificate,
} from '#adapters/certs/certificate-files';
import {
  type CertificateInfo,
  type Credentials,
  checkCredentials,
  expiryWarning,
  inspectCertificate,
} from '#adapters/certs/credentials';
import type { Project } from '#adapters/project-files/load-project';
import { CONTROL } from '#core/config/topology';
import { AntipodeError, toAntipodeError } from '#core/errors';
import type { ProjectPaths } from './project-paths.ts';

const AUTHORITY = 'authority';
const AUTHORITY_BUNDLE = 'ca.crt';

export interface IssuedNode {
  readonly node: string;
  readonly certFile: string;
  readonly notAfterMs: number;
}

/** Every node of the topology that has a certificate of its own. */
export function nodesOf(project: Project): string[] {
  return [CONTROL, ...Object.keys(project.config.regions)];
}

/** What a node needs to take part; CERTIFICATE_INVALID when it is missing or not the node's. */
export async function nodeCredentials(paths: ProjectPaths, topology: string, node: string): Promise<Credentials> {
  const credentials = await readCredentials({
    certFile: join(paths.certificates, `${node}.crt`),
    keyFile: join(paths.certificates, `${node}.key`),
    caFile: join(paths.certificates, AUTHORITY_BUNDLE),
  });
  checkCredentials(credentials, { topology, node, ignoreValidity: true });
  return credentials;
}

/**
 * Issues certificates for nodes, and makes the topology's authority first when there is none. Its key is what may be kept
 * elsewhere: no node needs it.
 */
export async function issueCertificates(
  project: Project,
  paths: ProjectPaths,
  nodes: readonly string[],
  options: { readonly validityDays?: number } = {},
): Promise<IssuedNode[]> {
  const authority = await authorityOf(project, paths);
  const issued: IssuedNode[] = [];
  for (const node of nodes) {
    const hosts = hostsOf(project, node);
    const certificate = await issueCertificate({
      authority,
      node,
      dnsNames: hosts.filter((host) => isIP(host) === 0),
      ipAddresses: hosts.filter((host) => isIP(host) !== 0),
      ...(options.validityDays === undefined ? {} : { validityDays: options.validityDays }),
    });
    const { certFile } = await writeCertificate(paths.certificates, node, certificate);
    issued.push({ node, certFile, notAfterMs: inspectCertificate(certificate.certPem).notAfterMs });
  }
  return issued;
}

/** Issues what is missing, not usable, or about to expire. Returns the nodes that got a certificate. */
export async function ensureCertificates(project: Project, paths: ProjectPaths): Promise<string[]> {
  const wanting: string[] = [];
  for (const node of nodesOf(project)) if (await isWanting(project, paths, node)) wanting.push(node);
  if (wanting.length === 0) return [];
  if (existsSync(join(paths.certificates, AUTHORITY_BUNDLE)) && !existsSync(authorityFile(paths, 'key'))) {
    // Issued elsewhere: a second authority would be trusted by nobody. Nodes without a certificate say so themselves.
    return [];
  }
  await issueCertificates(project, paths, wanting);
  return wanting;
}

export interface CertificateReport {
  readonly name: string;
  readonly file: string;
  readonly info: CertificateInfo | null;
  /** Why it is of no use. */
  readonly fault: string | null;
  readonly warnings: readonly string[];
}

/** Every certificate in the folder, the authority first, with what is wrong or soon will be. */
export async function certificateReports(project: Project, paths: ProjectPaths): Promise<CertificateReport[]> {
  const files = await readdir(paths.certificates).catch(() => []);
  const present = files.filter((file) => file.endsWith('.crt') && file !== AUTHORITY_BUNDLE).map((f) => f.slice(0, -4));
  const names = [AUTHORITY, ...nodesOf(project), ...present].filter((name, at, all) => all.indexOf(name) === at);
  const reports: CertificateReport[] = [];
  for (const name of names) reports.push(await certificateReport(project, paths, name));
  return reports;
}

async function certificateReport(project: Project, paths: ProjectPaths, name: string): Promise<CertificateReport> {
  const file = join(paths.certificates, `${name}.crt`);
  try {
    const info = inspectCertificate(await readPem(file));
    const warnings = [expiryWarning(info), await keyWarning(join(paths.certificates, `${name}.key`))];
    if (nodesOf(project).includes(name)) {
      checkCredentials(await nodeCredentials(paths, project.config.name, name), { ignoreValidity: true });
    }
    const fault = info.notAfterMs <= Date.now() ? 'it has expired' : null;
    return { name, file, info, fault, warnings: warnings.filter((warning) => warning !== undefined) };
  } catch (caught) {
    return { name, file, info: null, fault: toAntipodeError(caught).message, warnings: [] };
  }
}

/** The key of an authority may well be kept elsewhere. */
async function keyWarning(file: string): Promise<string | undefined> {
  return existsSync(file) ? keyFileWarning(file) : undefined;
}

async function readPem(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new AntipodeError('CERTIFICATE_INVALID', `there is no ${file}`, { where: file, cause });
  }
}

async function isWanting(project: Project, paths: ProjectPaths, node: string): Promise<boolean> {
  try {
    const credentials = await nodeCredentials(paths, project.config.name, node);
    return expiryWarning(checkCredentials(credentials, { ignoreValidity: true })) !== undefined;
  } catch {
    return true;
  }
}

async function authorityOf(project: Project, paths: ProjectPaths): Promise<{ certPem: string; keyPem: string }> {
  const [certFile, keyFile] = [authorityFile(paths, 'crt'), authorityFile(paths, 'key')];
  if (existsSync(certFile) && existsSync(keyFile)) return readCertificate(certFile, keyFile);
  if (existsSync(join(paths.certificates, AUTHORITY_BUNDLE))) {
    throw new AntipodeError('CERTIFICATE_INVALID', `the key of the authority is not in ${paths.certificates}`, {
      where: keyFile,
      remedy: 'Issue where the authority is kept, or put authority.crt and authority.key back for the time it takes.',
    });
  }
  const authority = await createAuthority({ topology: project.config.name });
  await writeCertificate(paths.certificates, AUTHORITY, authority);
  await writeAuthorities(join(paths.certificates, AUTHORITY_BUNDLE), authority.certPem);
  return authority;
}

function authorityFile(paths: ProjectPaths, extension: 'crt' | 'key'): string {
  return join(paths.certificates, `${AUTHORITY}.${extension}`);
}

/** Names under which clients reach a node's faces. */
function hostsOf(project: Project, node: string): string[] {
  const { control, regions } = project.config;
  const region = regions[node];
  const hosts = node === CONTROL ? [control.link.host] : [region?.link.host ?? '', region?.serve.host ?? ''];
  return [...new Set(['localhost', '127.0.0.1', ...hosts])].filter((host) => host !== '' && host !== '0.0.0.0');
}
