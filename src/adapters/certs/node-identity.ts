import type { X509Certificate } from 'node:crypto';
import { AntipodeError } from '#core/errors';

/**
 * Who a node is to its peers: the URI subject alternative name `antipode://<topology>/<node>` of its certificate. The
 * common name is for people and never read. A topology's authority carries `antipode://<topology>`.
 */
export interface NodeIdentity {
  readonly topology: string;
  readonly node: string;
}

export interface SubjectAltNames {
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
}

const NAME = /^[a-z][a-z0-9_-]{0,62}$/;
const NODE_URI = /^antipode:\/\/([a-z][a-z0-9_-]{0,62})\/([a-z][a-z0-9_-]{0,62})$/;
const TOPOLOGY_URI = /^antipode:\/\/([a-z][a-z0-9_-]{0,62})$/;
const SCHEME = 'antipode:';

/** Throws CONFIG_INVALID when a topology or node name cannot stand in an identity. */
export function checkName(what: 'topology' | 'node', name: string): void {
  if (NAME.test(name)) return;
  throw new AntipodeError('CONFIG_INVALID', `${what} name ${JSON.stringify(name)} is not allowed`, {
    remedy: 'Use 1 to 63 lower-case letters, digits, hyphens and underscores, beginning with a letter.',
  });
}

export function identityUri(identity: NodeIdentity): string {
  return `antipode://${identity.topology}/${identity.node}`;
}

export function topologyUri(topology: string): string {
  return `antipode://${topology}`;
}

/** The node a certificate stands for; undefined unless it carries exactly one antipode URI, and that names a node. */
export function certificateIdentity(certificate: X509Certificate): NodeIdentity | undefined {
  const match = NODE_URI.exec(onlyAntipodeUri(certificate));
  if (match === null) return undefined;
  const [, topology, node] = match as unknown as [string, string, string];
  return { topology, node };
}

/** The topology an authority's certificate stands for. */
export function authorityTopology(certificate: X509Certificate): string | undefined {
  return TOPOLOGY_URI.exec(onlyAntipodeUri(certificate))?.[1];
}

function onlyAntipodeUri(certificate: X509Certificate): string {
  const uris = subjectAltNames(certificate).uris.filter((uri) => uri.startsWith(SCHEME));
  return uris.length === 1 ? (uris[0] as string) : '';
}

const ENTRY = /(DNS|URI|IP Address|email|DirName|Registered ID|othername):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;

/**
 * Reads Node's text form of the names, such as `URI:antipode://demo/eu-west, DNS:localhost, IP Address:127.0.0.1`. A name
 * that could be mistaken for more than one is quoted there, so entries are taken one by one from the left, never by
 * splitting at commas. A text that does not parse to its end yields no names at all.
 */
export function subjectAltNames(certificate: X509Certificate): SubjectAltNames {
  const text = certificate.subjectAltName ?? '';
  const uris: string[] = [];
  const dnsNames: string[] = [];
  const ipAddresses: string[] = [];
  const entry = new RegExp(ENTRY);
  while (entry.lastIndex < text.length) {
    const match = entry.exec(text);
    if (match === null) return { uris: [], dnsNames: [], ipAddresses: [] };
    const [, kind, value] = match as unknown as [string, string, string];
    // A quoted value is none that Antipode issues; it stays as it is and so equals no identity.
    if (kind === 'URI') uris.push(value);
    else if (kind === 'DNS') dnsNames.push(value);
    else if (kind === 'IP Address') ipAddresses.push(value);
  }
  return { uris, dnsNames, ipAddresses };
}
