import { z } from 'zod';

/** Where a face listens or is dialled. */
export interface Endpoint {
  /** Host name or IP address, without brackets. */
  readonly host: string;
  readonly port: number;
}

const ENDPOINT = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([a-zA-Z0-9](?:[a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?)):(\d{1,5})$/;

/** Parses `host:port`, `10.0.0.1:port` or `[::1]:port`; undefined when it is none. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const match = ENDPOINT.exec(text);
  if (match === null) return undefined;
  const port = Number(match[3]);
  return port >= 1 && port <= 65_535 ? { host: (match[1] ?? match[2]) as string, port } : undefined;
}

export function formatEndpoint(endpoint: Endpoint): string {
  return endpoint.host.includes(':') ? `[${endpoint.host}]:${endpoint.port}` : `${endpoint.host}:${endpoint.port}`;
}

/** Whether only programs of the same machine reach the host. Names other than localhost may resolve to anything. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);
}

/** Whether the host stands for every address of the machine. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

const EXPECTED = 'expected host:port, such as 127.0.0.1:7101';

export const endpointSchema = z
  .string()
  .meta({ pattern: ENDPOINT.source })
  .transform((value, context) => {
    const endpoint = parseEndpoint(value);
    if (endpoint !== undefined) return endpoint;
    context.addIssue({ code: 'custom', message: EXPECTED, input: value });
    return z.NEVER;
  });
