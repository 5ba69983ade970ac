import { AntipodeError, type ErrorCode } from '#core/errors';

/**
 * Codes that OpenSSL and Node give when the two ends do not speak the same protocol at all. Everything else that is not
 * about certificates may pass by itself and is worth another attempt.
 */
const MISMATCH =
  /WRONG_VERSION_NUMBER|NO_APPLICATION_PROTOCOL|PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|NO_PROTOCOLS_AVAILABLE|HTTP_REQUEST|PACKET_LENGTH_TOO_LONG/;
/** Verification results (`CERT_HAS_EXPIRED`, `UNABLE_TO_VERIFY_LEAF_SIGNATURE`), name checks, and alerts of the peer. */
const CERTIFICATE =
  /CERT|LEAF_SIGNATURE|UNKNOWN_CA|INVALID_CA|PATH_LENGTH_EXCEEDED|INVALID_PURPOSE|HOSTNAME_MISMATCH|ACCESS_DENIED/;

export function connectError(peer: string, caught: unknown): AntipodeError {
  if (caught instanceof AntipodeError) return caught;
  const code = errorCode(caught);
  const detail = caught instanceof Error ? firstLine(caught.message) : String(caught);
  return new AntipodeError(classify(code), `cannot connect to ${peer}: ${detail}`, { cause: caught });
}

export function listenError(address: string, caught: unknown): AntipodeError {
  if (errorCode(caught) === 'EADDRINUSE') {
    return new AntipodeError('PORT_IN_USE', `${address} is in use`, { cause: caught });
  }
  const detail = caught instanceof Error ? caught.message : String(caught);
  return new AntipodeError('CONFIG_INVALID', `cannot listen on ${address}: ${detail}`, {
    cause: caught,
    remedy: 'Use an address of this machine and a port this user may listen on.',
  });
}

/** A few words for logs and close reasons, such as `ECONNRESET`. */
export function shortReason(caught: unknown): string {
  const code = errorCode(caught);
  if (code !== '') return code;
  return caught instanceof Error ? firstLine(caught.message) : String(caught);
}

function classify(code: string): ErrorCode {
  if (MISMATCH.test(code)) return 'PROTOCOL_MISMATCH';
  if (CERTIFICATE.test(code)) return 'CERTIFICATE_INVALID';
  return 'PEER_UNAVAILABLE';
}

function errorCode(caught: unknown): string {
  if (!(caught instanceof Error) || !('code' in caught)) return '';
  return typeof caught.code === 'string' ? caught.code : '';
}

function firstLine(message: string): string {
  const end = message.indexOf('\n');
  return end < 0 ? message : message.slice(0, end);
}
