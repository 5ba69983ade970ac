import { CHANGE_BYTES_MIN, decodeChanges, encodeChanges } from '#core/codec/changes';
import type { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError, toAntipodeError } from '#core/errors';
import { type Requirement, raised, requirementOf } from '#core/failover/acknowledge';
import type { Clock } from '#ports/clock';
import type { Random } from '#ports/random';
import type { ViewRegistry } from '#region/apply/view-registry';
import type { StampGate } from '#region/clocks/stamp-gate';
import type { IngestRequest, IngestResult } from '#region/engine-api';
import type { AcknowledgedWrites } from '#region/ingest/acknowledged-writes';
import type { Acknowledgement } from '#region/ingest/acknowledgement';
import type { HolderGate } from '#region/ingest/holder-gate';
import type { NamespaceWriter } from '#region/ingest/namespace-writer';
import type { Quarantine } from '#region/ingest/quarantine';
import { assertNotTriedElsewhere } from '#region/ingest/retried-deletes';
import { otherDivisions, type ValidatedRequest, validateRequest } from '#region/ingest/validate';
import { RateCounter } from '#region/observe/counters';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import type { Peers } from '#region/replicate/peers';
import type { IngestCounters } from '#region/status';

/** How long a forwarded write may take before its outcome is unknown, ms. */
const FORWARD_TIMEOUT_MS = 15_000;

export interface IngestNamespace {
  readonly writes: AcknowledgedWrites;
  readonly writer: NamespaceWriter;
  readonly log: NamespaceLog;
  readonly gate: HolderGate;
  readonly acknowledgement: Acknowledgement;
}

/**
 * The door for writes. Validates, holds single rows back, and hands over to the namespace's writer when this region is its
 * hub; else forwards to the hub (P6.10). Refuses with NO_HUB only where there is none.
 */
export class Ingest {
  readonly #region: string;
  readonly #views: ViewRegistry;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #quarantine: Quarantine;
  readonly #peers: Peers;
  readonly #stamps: StampGate;
  readonly #namespaces: ReadonlyMap<string, IngestNamespace>;
  readonly #accepted: RateCounter;
  #refusedChanges = 0;
  #duplicateRequests = 0;
  #forwardedRequests = 0;

  constructor(options: {
    region: string;
    views: ViewRegistry;
    clock: Clock;
    random: Random;
    quarantine: Quarantine;
    peers: Peers;
    stamps: StampGate;
    namespaces: ReadonlyMap<string, IngestNamespace>;
  }) {
    this.#region = options.region;
    this.#views = options.views;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#quarantine = options.quarantine;
    this.#peers = options.peers;
    this.#stamps = options.stamps;
    this.#namespaces = options.namespaces;
    this.#accepted = new RateCounter(options.clock.monotonicMs());
  }

  counters(): IngestCounters {
    return {
      acceptedChanges: this.#accepted.total,
      refusedChanges: this.#refusedChanges,
      quarantinedChanges: this.#quarantine.count,
      duplicateRequests: this.#duplicateRequests,
      forwardedRequests: this.#forwardedRequests,
      changesPerSecond: this.#accepted.perSecond(this.#clock.monotonicMs()),
    };
  }

  /** A client's write, or one that another region forwarded; a forwarded one is not forwarded again. */
  async submit(request: IngestRequest, options: { readonly forwarded: boolean }): Promise<IngestResult> {
    try {
      const codec = this.#views.version(request.version);
      if (codec === undefined || codec.view.name !== request.view) {
        throw new AntipodeError(
          'VIEW_NOT_FOUND',
          `feature view ${request.view} has no version ${request.version} here`,
        );
      }
      const namespace = this.#namespaces.get(codec.view.namespace);
      if (namespace === undefined)
        throw new AntipodeError(
          'VIEW_NOT_FOUND',
          `namespace ${codec.view.namespace} of ${request.view} is not configured`,
        );
      const key = request.idempotencyKey ?? null;
      const hub = namespace.gate.hub();
      if (hub !== this.#region || namespace.gate.appendable() === undefined) {
        if (options.forwarded)
          throw new AntipodeError('NOT_HOLDER', `${this.#region} does not hold the lease of ${codec.view.namespace}`);
        return await this.#forward(request, codec, key, hub);
      }
      return await this.#accept(request, codec, key, namespace);
    } catch (caught) {
      this.#refusedChanges += request.changes.length;
      throw caught;
    }
  }

  async #accept(
    request: IngestRequest,
    codec: ViewCodec,
    key: string | null,
    namespace: IngestNamespace,
  ): Promise<IngestResult> {
    const requirement = this.#requirement(request, namespace);
    if (request.observed !== undefined) this.#stamps.observe(request.observed);
    const nowMs = this.#clock.wallMs();
    const validated = validateRequest(request, codec, nowMs);
    const { changes, quarantined } = validated;
    if (quarantined.length > 0) await this.#quarantine.hold(request, key ?? this.#random.hex(16), codec, quarantined);
    const hub = this.#region;
    const { last: hlc } = this.#stamps;
    if (changes.length === 0)
      return {
        accepted: 0,
        quarantined,
        duplicate: false,
        hub,
        positions: {},
        durableIn: [],
        epoch: namespace.gate.epoch(),
        hlc,
      };
    if (request.retried === true && key !== null)
      await assertNotTriedElsewhere({ ...namespace, peers: this.#peers, codec, changes, key });
    const { producer } = request;
    const { receipt, division } = await this.#asFirstTried([validated], otherDivisions(request, codec, nowMs), (rows) =>
      namespace.writes.write(codec, rows, { key, producer, requirement }),
    );
    const accepted = division.changes.length;
    if (receipt.duplicate) this.#duplicateRequests += 1;
    else this.#accepted.add(accepted, this.#clock.monotonicMs());
    return {
      accepted,
      quarantined: division.quarantined,
      duplicate: receipt.duplicate,
      hub,
      positions: receipt.positions,
      epoch: namespace.gate.epoch(),
      hlc: this.#stamps.last,
      durableIn: [this.#region, ...receipt.durableIn],
    };
  }

  /**
   * A retry may find rows admitted that its first try held back, or the other way round, because time has moved on or the
   * clock is another one: what is written under a key is what the first try admitted.
   */
  async #asFirstTried<R>(
    first: readonly ValidatedRequest[],
    others: Iterable<ValidatedRequest>,
    write: (rows: ValidatedRequest['changes']) => Promise<R>,
  ): Promise<{ receipt: R; division: ValidatedRequest }> {
    let reused: unknown;
    for (const divisions of [first, others])
      for (const division of divisions) {
        try {
          return { receipt: await write(division.changes), division };
        } catch (caught) {
          if (toAntipodeError(caught).code !== 'IDEMPOTENCY_KEY_REUSED') throw caught;
          reused ??= caught;
        }
      }
    throw reused;
  }

  /** What the namespace demands, or more where the request asks for more. */
  #requirement(request: IngestRequest, { acknowledgement }: IngestNamespace): Requirement {
    const others = acknowledgement.regions.filter((name) => name !== this.#region).length;
    if ((request.acknowledge ?? 0) > others) {
      throw new AntipodeError(
        'ACKNOWLEDGE_IMPOSSIBLE',
        `the write asks for ${request.acknowledge} regions beside the hub, there are ${others} that count`,
      );
    }
    return raised(requirementOf(acknowledgement.rule, this.#region), request.acknowledge);
  }

  async #forward(
    request: IngestRequest,
    codec: ViewCodec,
    key: string | null,
    hub: string | undefined,
  ): Promise<IngestResult> {
    if (hub === undefined || hub === this.#region || !this.#peers.connected(hub)) {
      throw new AntipodeError(
        'NO_HUB',
        hub === undefined || hub === this.#region
          ? `no region accepts writes for ${codec.view.namespace}`
          : `the hub ${hub} cannot be reached from ${this.#region}`,
      );
    }
    this.#forwardedRequests += 1;
    const count = Buffer.allocUnsafe(4);
    count.writeUInt32BE(request.changes.length);
    const blob = Buffer.concat([
      count,
      encodeChanges(request.changes.map((change, offset) => ({ ...change, offset }))),
    ]);
    const { view, version, retried = false, observed = null, producer = null, acknowledge = null } = request;
    const body = { view, version, idempotencyKey: key, retried, observed, producer, acknowledge };
    try {
      const { answer } = await this.#peers.request(hub, 'ingest', body, { timeoutMs: FORWARD_TIMEOUT_MS, blob });
      return answer;
    } catch (caught) {
      const error = toAntipodeError(caught);
      // NOT_HOLDER comes before anything was appended. A lost channel or deadline leaves the outcome open.
      if (error.code === 'NOT_HOLDER')
        throw new AntipodeError('NO_HUB', `${hub} is not the hub any more`, { cause: error });
      if (error.code === 'PEER_UNAVAILABLE' || error.code === 'PEER_TIMEOUT') {
        throw new AntipodeError('OUTCOME_UNKNOWN', `the hub ${hub} did not answer`, { cause: error });
      }
      throw error;
    }
  }
}

/** Decodes the blob of a forwarded write. */
export function decodeForwarded(blob: Buffer): IngestRequest['changes'] {
  if (blob.length < 4) throw new AntipodeError('PROTOCOL_MISMATCH', 'a forwarded write has no count');
  const count = blob.readUInt32BE(0);
  if (count > (blob.length - 4) / CHANGE_BYTES_MIN)
    throw new AntipodeError('PROTOCOL_MISMATCH', 'a forwarded write has an impossible count');
  // Generations are the hub's to give.
  return decodeChanges(blob.subarray(4), count).map(({ operation, eventTimeUs, key, row, features }) => ({
    operation,
    eventTimeUs,
    key,
    row,
    features,
  }));
}
