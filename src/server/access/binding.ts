import { BlockList, isIP } from 'node:net';
import { AntipodeError } from '#core/errors';

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** Whether only this machine can reach the address. Names other than localhost count as reachable: DNS decides, not we. */
export function isLoopback(host: string): boolean {
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
  if (bare.toLowerCase() === 'localhost') return true;
  const family = isIP(bare);
  // IPv4 addresses written in IPv6 form (::ffff:127.0.0.1) are matched against the IPv4 rules by BlockList itself.
  return family !== 0 && LOOPBACK.check(bare, family === 4 ? 'ipv4' : 'ipv6');
}

/** A face that other machines can reach needs both TLS and tokens (UNSAFE_BINDING otherwise); loopback needs neither. */
export function assertSafeBinding(host: string, tlsConfigured: boolean, tokensConfigured: boolean): void {
  if (isLoopback(host) || (tlsConfigured && tokensConfigured)) return;
  const missing = [...(tlsConfigured ? [] : ['TLS']), ...(tokensConfigured ? [] : ['tokens'])].join(' and ');
  throw new AntipodeError(
    'UNSAFE_BINDING',
    `the address ${host} is reachable from other machines, and ${missing} not configured`,
  );
}
