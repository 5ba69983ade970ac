import '#adapters/certs/metadata-polyfill';
import { createPrivateKey, randomBytes, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { parseCertificate } from '#adapters/certs/credentials';
import { authorityTopology, checkName, identityUri, topologyUri } from '#adapters/certs/node-identity';
import { AntipodeError, assert } from '#core/errors';

/** A certificate with its private key, PEM. */
export interface IssuedCertificate {
  readonly certPem: string;
  readonly keyPem: string;
}

export interface AuthorityOptions {
  readonly topology: string;
  /** Default 3650. */
  readonly validityDays?: number;
  readonly nowMs?: number;
}

export interface IssueOptions {
  /** The topology's authority, from `createAuthority`; the topology of the new certificate is the authority's. */
  readonly authority: IssuedCertificate;
  readonly node: string;
  /** Default 90. The certificate never outlives its authority. */
  readonly validityDays?: number;
  /** Names for HTTPS clients, such as `localhost`; links do not look at them. */
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  readonly nowMs?: number;
}

const DAY_MS = 86_400_000;
const AUTHORITY_DAYS = 3650;
const NODE_DAYS = 90;
/** Certificates begin in the past, for machines whose clocks are behind. */
const BACKDATE_MS = 5 * 60_000;
const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** Makes the authority of a topology. Whoever holds its key can be any node: it belongs on no node. */
export async function createAuthority(options: AuthorityOptions): Promise<IssuedCertificate> {
  checkName('topology', options.topology);
  const keys = await generateKeys();
  const { notBefore, notAfter } = validity(options.nowMs, options.validityDays ?? AUTHORITY_DAYS);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: serialNumber(),
      name: [{ O: [options.topology] }, { CN: ['Antipode authority'] }],
      notBefore,
      notAfter,
      keys,
      signingAlgorithm: ECDSA,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
        new x509.SubjectAlternativeNameExtension([{ type: 'url', value: topologyUri(options.topology) }]),
      ],
    },
    webcrypto,
  );
  return { certPem: `${certificate.toString('pem')}\n`, keyPem: await privateKeyPem(keys.privateKey) };
}

/** Issues a node's certificate, good for both ends of a link (server and client authentication) and for HTTPS faces. */
export async function issueCertificate(options: IssueOptions): Promise<IssuedCertificate> {
  checkName('node', options.node);
  const authority = parseCertificate(options.authority.certPem);
  const topology = authorityTopology(authority);
  if (!authority.ca || topology === undefined) {
    throw new AntipodeError('CERTIFICATE_INVALID', 'the authority certificate is not one of an Antipode topology');
  }
  const signingKey = await authorityKey(options.authority);
  const keys = await generateKeys();
  const span = validity(options.nowMs, options.validityDays ?? NODE_DAYS);
  const issuer = new x509.X509Certificate(options.authority.certPem);
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: serialNumber(),
      subject: [{ O: [topology] }, { CN: [options.node] }],
      issuer: issuer.subjectName,
      notBefore: span.notBefore,
      notAfter: new Date(Math.min(span.notAfter.getTime(), authority.validToDate.getTime())),
      publicKey: keys.publicKey,
      signingKey,
      signingAlgorithm: ECDSA,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
        await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey, false, webcrypto),
        new x509.SubjectAlternativeNameExtension([
          { type: 'url', value: identityUri({ topology, node: options.node }) },
          ...(options.dnsNames ?? []).map((value) => ({ type: 'dns', value }) as const),
          ...(options.ipAddresses ?? []).map((value) => ({ type: 'ip', value }) as const),
        ]),
      ],
    },
    webcrypto,
  );
  return { certPem: `${certificate.toString('pem')}\n`, keyPem: await privateKeyPem(keys.privateKey) };
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ECDSA, true, ['sign', 'verify']);
}

async function authorityKey(authority: IssuedCertificate): Promise<webcrypto.CryptoKey> {
  try {
    const key = createPrivateKey(authority.keyPem);
    if (!parseCertificate(authority.certPem).checkPrivateKey(key)) {
      throw new AntipodeError('CERTIFICATE_INVALID', 'the authority key does not belong to the authority certificate');
    }
    return await webcrypto.subtle.importKey('pkcs8', key.export({ type: 'pkcs8', format: 'der' }), ECDSA, false, [
      'sign',
    ]);
  } catch (caught) {
    if (caught instanceof AntipodeError) throw caught;
    throw new AntipodeError('CERTIFICATE_INVALID', 'the authority key is not a readable P-256 key', { cause: caught });
  }
}

async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    .export({ type: 'pkcs8', format: 'pem' })
    .toString();
}

/** 127 random bits: positive in DER, and beyond guessing as the profile of RFC 5280 asks. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] as number) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

function validity(nowMs: number = Date.now(), days: number): { notBefore: Date; notAfter: Date } {
  assert(days > 0, 'validity is positive');
  return { notBefore: new Date(nowMs - BACKDATE_MS), notAfter: new Date(nowMs + days * DAY_MS) };
}
