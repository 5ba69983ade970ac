import { type Endpoint, formatEndpoint } from '#core/config/endpoint';
import { CONTROL, type TopologyConfig } from '#core/config/topology';
import { AntipodeError } from '#core/errors';
import { assertPortFree } from '#server/serving-worker';
import { portOwner } from './port-owner.ts';

export interface Listener {
  readonly node: string;
  /** For people: `the serving face of eu-west`. */
  readonly what: string;
  /** Its place in antipode.yaml: `regions.eu-west.serve`. */
  readonly setting: string;
  readonly at: Endpoint;
}

/** Every address that the nodes of a topology listen on. */
export function listenersOf(config: TopologyConfig): Listener[] {
  return [
    { node: CONTROL, what: 'the control store', setting: 'control.link', at: config.control.link },
    ...Object.values(config.regions).flatMap(({ name, link, serve }) => [
      { node: name, what: `the link of ${name}`, setting: `regions.${name}.link`, at: link },
      { node: name, what: `the serving face of ${name}`, setting: `regions.${name}.serve`, at: serve },
    ]),
  ];
}

/** Throws PORT_IN_USE, naming whose address it is and, where the system tells, who sits there. */
export async function assertListenerFree({ what, setting, at }: Listener): Promise<void> {
  try {
    await assertPortFree(at.host, at.port);
  } catch (caught) {
    if (!(caught instanceof AntipodeError && caught.code === 'PORT_IN_USE')) throw caught;
    const owner = portOwner(at.port);
    const by = owner === undefined ? 'another process' : `process ${owner.pid} (${owner.command})`;
    throw new AntipodeError('PORT_IN_USE', `${formatEndpoint(at)}, the address of ${what}, is in use by ${by}`, {
      where: `antipode.yaml, ${setting}`,
      cause: caught,
      remedy: `Stop ${owner === undefined ? 'that process' : `process ${owner.pid}`}, or change ${setting} in antipode.yaml.`,
    });
  }
}

/** The first address of the topology that is taken makes this throw. */
export async function assertListenersFree(config: TopologyConfig): Promise<void> {
  for (const listener of listenersOf(config)) await assertListenerFree(listener);
}
