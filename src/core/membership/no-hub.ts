import { AntipodeError } from '#core/errors';

/** FAILOVER_REFUSED for a namespace without a hub. */
export function noHubToMove(namespace: string): AntipodeError {
  return new AntipodeError(
    'FAILOVER_REFUSED',
    `${namespace} is replicated active-active: every region accepts its writes, and there is no hub to move`,
    { remedy: 'None is needed: when a region is lost, write to another one.' },
  );
}
