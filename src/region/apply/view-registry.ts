import { ViewCodec } from '#core/codec/view-codec';
import { type Merge, mergeOf } from '#core/merge/merge-of';
import type { FeatureView } from '#core/model/feature-view';
import { decodeDefinition, encodeDefinition } from '#core/model/feature-view-definition';
import type { OnlineReader } from '#ports/online-store';

/** Key of a definition in the store's records. */
export function definitionKey(version: string): string {
  return `definition/${version}`;
}

/**
 * The view versions this region knows: its own definition files, and what came through streams. The local files decide
 * which version of a name is current; for a name they do not have, the version applied last does.
 */
export class ViewRegistry {
  readonly #byVersion = new Map<string, ViewCodec>();
  readonly #currentByName = new Map<string, ViewCodec>();
  readonly #local = new Set<string>();
  readonly #merges = new Map<ViewCodec, Merge>();

  constructor(local: readonly FeatureView[]) {
    for (const view of local) {
      const codec = new ViewCodec(view);
      this.#byVersion.set(view.version, codec);
      this.#currentByName.set(view.name, codec);
      this.#local.add(view.name);
    }
  }

  /** Loads what streams brought before this start. Returns versions that this release cannot decode. */
  load(store: OnlineReader): string[] {
    const undecodable: string[] = [];
    for (const [key, bytes] of store.records(definitionKey(''))) {
      if (this.learn(bytes) === undefined) undecodable.push(key.slice(definitionKey('').length));
    }
    return undecodable;
  }

  /** Takes a definition out of a frame; undefined when this release cannot decode it. */
  learn(bytes: Uint8Array): ViewCodec | undefined {
    let view: FeatureView;
    try {
      view = decodeDefinition(Buffer.from(bytes));
    } catch {
      return undefined;
    }
    const codec = this.#byVersion.get(view.version) ?? new ViewCodec(view);
    this.#byVersion.set(view.version, codec);
    if (!this.#local.has(view.name)) this.#currentByName.set(view.name, codec);
    return codec;
  }

  version(version: string): ViewCodec | undefined {
    return this.#byVersion.get(version);
  }

  /** Versions of the views of a namespace, current or not. */
  versionsOf(namespace: string): string[] {
    return [...this.#byVersion.values()]
      .filter(({ view }) => view.namespace === namespace)
      .map(({ view }) => view.version);
  }

  /** The view version that a row's storage key belongs to. */
  byRowKey(key: Uint8Array): ViewCodec | undefined {
    for (const codec of this.#byVersion.values())
      if (codec.rowKeyPrefix.equals(key.subarray(0, codec.rowKeyPrefix.length))) return codec;
    return undefined;
  }

  /** How rows of a view version merge; made once. */
  merge(codec: ViewCodec): Merge {
    let merge = this.#merges.get(codec);
    if (merge === undefined) {
      merge = mergeOf(codec);
      this.#merges.set(codec, merge);
    }
    return merge;
  }

  current(name: string): ViewCodec | undefined {
    return this.#currentByName.get(name);
  }

  /** Current versions, by name. */
  views(): FeatureView[] {
    return [...this.#currentByName.values()].map((codec) => codec.view);
  }

  definitionBytes(version: string): Buffer | undefined {
    const codec = this.#byVersion.get(version);
    return codec === undefined ? undefined : encodeDefinition(codec.view);
  }
}
