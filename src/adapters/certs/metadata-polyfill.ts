/**
 * `@peculiar/x509` wires its algorithms through tsyringe, which refuses to load where `Reflect.getMetadata` is absent.
 * The library needs three functions of that proposal, only to find that none of its classes takes constructor
 * arguments; they are here instead of a further dependency. Nothing is replaced where a full polyfill is loaded.
 *
 * Import this file before `@peculiar/x509`.
 */
const metadata = new WeakMap<object, Map<unknown, unknown>>();

function getOwnMetadata(key: unknown, target: object): unknown {
  return metadata.get(target)?.get(key);
}

function getMetadata(key: unknown, target: object): unknown {
  for (let holder: object | null = target; holder !== null; holder = Object.getPrototypeOf(holder)) {
    const held = metadata.get(holder);
    if (held?.has(key)) return held.get(key);
  }
  return undefined;
}

function defineMetadata(key: unknown, value: unknown, target: object): void {
  const held = metadata.get(target);
  if (held === undefined) metadata.set(target, new Map([[key, value]]));
  else held.set(key, value);
}

if (!('getMetadata' in Reflect)) Object.assign(Reflect, { getMetadata, getOwnMetadata, defineMetadata });
