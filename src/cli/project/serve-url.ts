import { formatEndpoint, isWildcard } from '#core/config/endpoint';
import { CONTROL, type TopologyConfig } from '#core/config/topology';
import { AntipodeError } from '#core/errors';

/** Where programs of this machine reach the HTTP face of a region. */
export function serveUrl(config: TopologyConfig, region: string): string {
  const serve = config.regions[region]?.serve;
  if (serve === undefined || region === CONTROL)
    throw new AntipodeError('CONFIG_INVALID', `no region is named ${JSON.stringify(region)}`);
  const host = isWildcard(serve.host) ? (serve.host === '::' ? '::1' : '127.0.0.1') : serve.host;
  const scheme = config.security.serving.tls === null ? 'http' : 'https';
  return `${scheme}://${formatEndpoint({ host, port: serve.port })}`;
}
