import type { StreamKey } from '#core/model/stream';
import type { LoggedFrame } from '#ports/change-log';
import { type DecodedFrame, decodeForOracle } from '#sim/oracle/decoded-frame';
import type { Violations } from '#sim/oracle/violations';

/** Every frame that was ever durable anywhere. One position of one stream holds one frame, for ever and everywhere (P1). */
export class FrameArchive {
  readonly #violations: Violations;
  readonly #streams = new Map<StreamKey, Map<number, { readonly region: string; readonly hash: string }>>();
  readonly #decoded = new Map<string, DecodedFrame>();

  constructor(violations: Violations) {
    this.#violations = violations;
  }

  keep(region: string, stream: StreamKey, { to, hash: bytes }: LoggedFrame): void {
    let frames = this.#streams.get(stream);
    if (frames === undefined) {
      frames = new Map();
      this.#streams.set(stream, frames);
    }
    const hash = Buffer.from(bytes).toString('hex');
    const held = frames.get(to);
    if (held === undefined) frames.set(to, { region, hash });
    else if (held.hash !== hash)
      this.#violations.add('I5', `${stream} ${to} is one frame at ${held.region} and another at ${region}`);
  }

  /** Decodes once per content. */
  decode(bytes: Uint8Array): DecodedFrame {
    const hash = Buffer.from(bytes.buffer, bytes.byteOffset + 8, 32).toString('hex');
    let frame = this.#decoded.get(hash);
    if (frame === undefined) {
      frame = decodeForOracle(bytes);
      this.#decoded.set(hash, frame);
    }
    return frame;
  }
}
