import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import {
  authorityTopology,
  certificateIdentity,
  identityUri,
  type NodeIdentity,
  subjectAltNames,
} from '#adapters/certs/node-identity';
import { AntipodeError } from '#core/errors';

/** What a node needs to prove who it is and to check who others are. All PEM. */
export interface Credentials {
  readonly certPem: string;
  readonly keyPem: string;
  /** One or more authorities; two while one replaces the other. They sign node certificates directly. */
  readonly caPem: string;
}

export interface CertificateInfo {
  readonly subject: string;
  /** The node it stands for; undefined for an authority and for foreign certificates. */
  readonly identity: NodeIdentity | undefined;
  /** The topology it is the authority of. */
  readonly authorityOf: string | undefined;
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SHA-256 of the certificate, such as `9A:0C:…`. */
  readonly fingerprint256: string;
}

const DAY_MS = 86_400_000;
/** A warning starts this long before the end, or a third of the validity when that is less. */
const EXPIRY_WARNING_MS = 30 * DAY_MS;

export function inspectCertificate(certPem: string): CertificateInfo {
  return certificateInfo(parseCertificate(certPem));
}

/** Throws CERTIFICATE_INVALID when the text is not one readable certificate. */
export function parseCertificate(certPem: string): X509Certificate {
  try {
    return new X509Certificate(certPem);
  } catch (cause) {
    throw new AntipodeError('CERTIFICATE_INVALID', 'the certificate is not readable PEM', { cause });
  }
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Every authority of a bundle. Throws CERTIFICATE_INVALID when there is none or one is not an authority. */
export function parseAuthorities(caPem: string): readonly X509Certificate[] {
  const authorities = (caPem.match(PEM_CERTIFICATE) ?? []).map(parseCertificate);
  if (authorities.length === 0)
    throw new AntipodeError('CERTIFICATE_INVALID', 'the authority file holds no certificate');
  for (const authority of authorities) {
    if (!authority.ca) {
      throw new AntipodeError('CERTIFICATE_INVALID', `${oneLine(authority.subject)} is not an authority`);
    }
  }
  return authorities;
}

/**
 * Why a certificate may not be believed, by every rule but its names: undefined when one of the authorities signed it and
 * both are valid at `nowMs` (at no particular time when that is undefined).
 */
export function distrustReason(
  certificate: X509Certificate,
  authorities: readonly X509Certificate[],
  nowMs: number | undefined,
): string | undefined {
  const issuer = authorities.find((ca) => certificate.checkIssued(ca) && certificate.verify(ca.publicKey));
  if (issuer === undefined) return 'its certificate was issued by an authority that is not trusted here';
  if (nowMs === undefined) return undefined;
  return validityReason('its certificate', certificate, nowMs) ?? validityReason('its authority', issuer, nowMs);
}

export interface CredentialsExpectation {
  readonly topology?: string;
  readonly node?: string;
  readonly nowMs?: number;
  /** Accepts a certificate out of its validity; for starting a node whose peers will refuse it until it is renewed. */
  readonly ignoreValidity?: boolean;
}

/**
 * Checks credentials the way a peer would, and that the key belongs to the certificate. Throws CERTIFICATE_INVALID with
 * the first fault.
 */
export function checkCredentials(credentials: Credentials, expected: CredentialsExpectation = {}): CertificateInfo {
  const certificate = parseCertificate(credentials.certPem);
  const info = certificateInfo(certificate);
  const fail = (message: string): never => {
    throw new AntipodeError('CERTIFICATE_INVALID', message);
  };
  if (!certificate.checkPrivateKey(parseKey(credentials.keyPem)))
    fail('the private key does not belong to the certificate');
  if (info.identity === undefined) return fail(`the certificate ${oneLine(info.subject)} names no node of a topology`);
  const { topology = info.identity.topology, node = info.identity.node } = expected;
  if (info.identity.topology !== topology || info.identity.node !== node) {
    fail(`the certificate is for ${identityUri(info.identity)}, not for ${identityUri({ topology, node })}`);
  }
  const nowMs = expected.ignoreValidity === true ? undefined : (expected.nowMs ?? Date.now());
  const reason = distrustReason(certificate, parseAuthorities(credentials.caPem), nowMs);
  if (reason !== undefined) fail(`the certificate of ${node} is of no use: ${reason}`);
  return info;
}

/** A sentence for people when a certificate ends soon or has ended; undefined while there is time. */
export function expiryWarning(info: CertificateInfo, nowMs: number = Date.now()): string | undefined {
  const leftMs = info.notAfterMs - nowMs;
  const name = info.identity?.node ?? info.authorityOf ?? oneLine(info.subject);
  if (leftMs <= 0) return `the certificate of ${name} expired at ${new Date(info.notAfterMs).toISOString()}`;
  if (leftMs > Math.min(EXPIRY_WARNING_MS, (info.notAfterMs - info.notBeforeMs) / 3)) return undefined;
  const left = leftMs >= DAY_MS ? `${Math.floor(leftMs / DAY_MS)} days` : `${Math.floor(leftMs / 3_600_000)} hours`;
  return `the certificate of ${name} expires in ${left}, at ${new Date(info.notAfterMs).toISOString()}`;
}

export function certificateInfo(certificate: X509Certificate): CertificateInfo {
  return {
    subject: certificate.subject,
    identity: certificateIdentity(certificate),
    authorityOf: certificate.ca ? authorityTopology(certificate) : undefined,
    ...subjectAltNames(certificate),
    notBeforeMs: certificate.validFromDate.getTime(),
    notAfterMs: certificate.validToDate.getTime(),
    fingerprint256: certificate.fingerprint256,
  };
}

function validityReason(what: string, certificate: X509Certificate, nowMs: number): string | undefined {
  if (nowMs > certificate.validToDate.getTime()) return `${what} expired at ${certificate.validToDate.toISOString()}`;
  if (nowMs < certificate.validFromDate.getTime()) {
    return `${what} is valid only from ${certificate.validFromDate.toISOString()}`;
  }
  return undefined;
}

function parseKey(keyPem: string): KeyObject {
  try {
    return createPrivateKey(keyPem);
  } catch (cause) {
    // The cause of a parse failure never holds key bytes.
    throw new AntipodeError('CERTIFICATE_INVALID', 'the private key is not readable PEM', { cause });
  }
}

function oneLine(subject: string): string {
  return subject.replaceAll('\n', ', ');
}
