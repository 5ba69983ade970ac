import type { Clock } from '#ports/clock';
import type { OnlineFeatures, OnlineFeaturesAnswer } from '#server/feast/online-features';
import { askedConsistency, type RequestHeaders } from '#server/feast/read-demand';
import { readJson } from '#server/json/read-json';
import type { FaceMetrics } from '#server/operations/face-metrics';
import type { ReadMeter } from '#server/read-counters';

/** Feature reads with what is counted of them, whichever way they come in. */
export class FeatureReads {
  readonly #onlineFeatures: OnlineFeatures;
  readonly #meter: ReadMeter;
  readonly #metrics: FaceMetrics;
  readonly #clock: Clock;

  constructor(options: {
    readonly onlineFeatures: OnlineFeatures;
    readonly meter: ReadMeter;
    readonly metrics: FaceMetrics;
    readonly clock: Clock;
  }) {
    this.#onlineFeatures = options.onlineFeatures;
    this.#meter = options.meter;
    this.#metrics = options.metrics;
    this.#clock = options.clock;
  }

  /** Answers a body, at once where that needs nobody else. Throws what is wrong with the request, or rejects with it. */
  read(body: Buffer, headers: RequestHeaders): OnlineFeaturesAnswer | Promise<OnlineFeaturesAnswer> {
    const startMs = this.#clock.monotonicMs();
    try {
      const json = body.length === 0 ? undefined : readJson(body);
      const answer = this.#onlineFeatures.answer(json, askedConsistency(headers));
      return answer instanceof Promise ? this.#later(answer, startMs) : this.#answered(answer, startMs);
    } catch (error) {
      throw this.#failed(error, startMs);
    }
  }

  async #later(answer: Promise<OnlineFeaturesAnswer>, startMs: number): Promise<OnlineFeaturesAnswer> {
    let settled: OnlineFeaturesAnswer;
    try {
      settled = await answer;
    } catch (error) {
      throw this.#failed(error, startMs);
    }
    return this.#answered(settled, startMs);
  }

  #answered(answer: OnlineFeaturesAnswer, startMs: number): OnlineFeaturesAnswer {
    this.#meter.answered(answer.rows);
    this.#metrics.corruptRows(answer.corrupt);
    this.#metrics.readDuration(this.#clock.monotonicMs() - startMs);
    return answer;
  }

  #failed(error: unknown, startMs: number): unknown {
    if (!isCallersFault(error)) this.#meter.failed();
    this.#metrics.readDuration(this.#clock.monotonicMs() - startMs);
    return error;
  }
}

function isCallersFault(error: unknown): boolean {
  const status = (error as { readonly status?: unknown }).status;
  return typeof status === 'number' && status < 500;
}
