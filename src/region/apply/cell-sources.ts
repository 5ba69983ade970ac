import { type CellSource, cellSource } from '#core/codec/cell';
import { assert } from '#core/errors';
import type { StreamKey } from '#core/model/stream';

/** The sources of cells, made once for each stream. */
export class CellSources {
  readonly #byStream = new Map<StreamKey, CellSource>();

  of(stream: StreamKey): CellSource {
    let source = this.#byStream.get(stream);
    if (source === undefined) {
      source = cellSource(stream);
      assert(source !== undefined, `stream key ${stream}`);
      this.#byStream.set(stream, source);
    }
    return source;
  }
}
