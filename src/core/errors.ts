/**
 * The registry of error codes. Every failure that a person or a program may meet has one code here, with its cause and
 * what to do; `docs/reference/errors.md` is generated from it. A code never changes its meaning.
 *
 * `disposition` tells the caller's machine what to do: `retry` the same call later, `reset` (drop the connection or the
 * cached view and begin again), `reject` (the input is wrong; retrying is useless), `stop` (the process must not go on),
 * `unknown` (the outcome is not known: settle by reading or by retrying with the same idempotency key).
 */
export type Disposition = 'retry' | 'reset' | 'reject' | 'stop' | 'unknown';

interface ErrorEntry {
  readonly disposition: Disposition;
  /** HTTP status a face answers with. */
  readonly status: number;
  readonly cause: string;
  readonly remedy: string;
}

export const ERROR_CODES = {
  CONFIG_INVALID: {
    disposition: 'reject',
    status: 400,
    cause: 'antipode.yaml or a file it names does not have the expected shape.',
    remedy: 'Correct the named line; the JSON Schemas in schemas/ show what is allowed.',
  },
  DEFINITION_INVALID: {
    disposition: 'reject',
    status: 400,
    cause: 'A feature definition does not have the expected shape or refers to something that does not exist.',
    remedy: 'Correct the named line of the definition file.',
  },
  DEFINITION_UNDECODABLE: {
    disposition: 'retry',
    status: 503,
    cause: 'This region runs a release that cannot decode the feature view version.',
    remedy: 'Upgrade the region; its frames are kept in the mirror and applied afterwards.',
  },
  REQUEST_MALFORMED: {
    disposition: 'reject',
    status: 422,
    cause: 'The request body is not valid JSON or not of the expected shape.',
    remedy: 'Send the body the reference describes.',
  },
  REQUEST_TOO_LARGE: {
    disposition: 'reject',
    status: 413,
    cause: 'The request exceeds a limit of this face.',
    remedy: 'Split the request; the limits are listed in the reference.',
  },
  VIEW_NOT_FOUND: {
    disposition: 'reject',
    status: 404,
    cause: 'No feature view of this name is known.',
    remedy: 'Check the name, or add the definition under features/ and restart the topology.',
  },
  FEATURE_NOT_FOUND: {
    disposition: 'reject',
    status: 404,
    cause: 'The feature view has no feature of this name.',
    remedy: 'Check the reference; it has the form view:feature.',
  },
  ROW_INVALID: {
    disposition: 'reject',
    status: 422,
    cause: 'A row does not fit the definition of its feature view.',
    remedy: 'Correct the named column of the named row.',
  },
  PARTIAL_ROW_INVALID: {
    disposition: 'reject',
    status: 422,
    cause: 'A row holds some of the features only, and its view or the features named do not allow that.',
    remedy: 'Send whole rows, or give the view granularity: feature and name each feature once.',
  },
  PRODUCER_INVALID: {
    disposition: 'reject',
    status: 422,
    cause: 'A write to a counter view names no producer with a sequence, or a write to another view names one.',
    remedy: 'Send a producer and its sequence with every write of running totals, and with no other write.',
  },
  COUNTER_FULL: {
    disposition: 'reject',
    status: 422,
    cause: 'The counter holds the totals of as many producers as it can.',
    remedy: 'Write under a name that is known already, or delete the key and begin again with fewer producers.',
  },
  ROW_EVENT_TIME_AHEAD: {
    disposition: 'reject',
    status: 422,
    cause: 'The event time of a row lies too far in the future; the row was quarantined.',
    remedy: 'Correct the clock or the data of the producer; the quarantine lists the row.',
  },
  FRAME_CORRUPT: {
    disposition: 'reset',
    status: 500,
    cause: 'A frame does not have the bytes its hash promises, or is not decodable.',
    remedy: 'The link fetches the frame again; when it repeats, check the disk of the region that sent it.',
  },
  STORE_CORRUPT: {
    disposition: 'stop',
    status: 500,
    cause:
      'A value of the online store does not have the checksum it was written with: a bit flipped on disk or in memory.',
    remedy:
      'Nothing by hand: the region ends, and its next start builds the store again from the logs. When it happens again, check the disk and the memory of the machine.',
  },
  FRAME_TOO_LARGE: {
    disposition: 'reject',
    status: 500,
    cause: 'A frame or message exceeds the limit of the protocol.',
    remedy: 'The peer runs another protocol version or is faulty; check the versions.',
  },
  FRAME_FOREIGN_ORIGIN: {
    disposition: 'reject',
    status: 403,
    cause: 'A peer sent a frame that claims an origin or stream it was not asked for.',
    remedy: 'Check the certificate and the configuration of that peer; the event is in the audit log.',
  },
  STREAM_GAP: {
    disposition: 'reset',
    status: 500,
    cause: 'A frame starts above the position of the mirror.',
    remedy: 'The link fetches from the position again; rows that exist nowhere else need a backfill.',
  },
  STREAM_TRUNCATED: {
    disposition: 'reset',
    status: 500,
    cause: "A region asked for frames of a stream that this region's log holds no more: its retention let them go.",
    remedy:
      'None; the region that asks fills its copy from the online store of a peer by itself. Give the namespace a longer retention when it happens often.',
  },
  SNAPSHOT_CORRUPT: {
    disposition: 'reset',
    status: 500,
    cause: 'A snapshot of an online store does not have the content that its hash promises.',
    remedy:
      'None; the region rebuilds from an older snapshot, from its logs, or from a peer. Check the disk of the region that took it.',
  },
  SNAPSHOT_CHANGED: {
    disposition: 'reset',
    status: 409,
    cause: 'The online store that a region copies from was emptied, or does not hold any more what it held before.',
    remedy: 'None; the region begins its backfill again.',
  },
  SNAPSHOT_BEYOND_SEAL: {
    disposition: 'reset',
    status: 409,
    cause: 'A peer offered rows that it applied beyond a seal: changes that are not valid (P5.3).',
    remedy: 'None; the peer rebuilds its store to the seal, and the region begins its backfill again.',
  },
  STREAM_SHRUNK: {
    disposition: 'retry',
    status: 500,
    cause: "A stream ends earlier at its origin than the origin once sent it: the origin's disk was lost or restored.",
    remedy:
      'None; the origin goes on under a new incarnation and fetches what it lost. Find out what happened to its disk.',
  },
  STREAM_DIVERGED: {
    disposition: 'stop',
    status: 500,
    cause: 'Two regions hold different frames for the same positions of one stream.',
    remedy:
      'The stream is halted at that peer and tried again after a minute or a reconnect; find which disk was restored and rebuild that region.',
  },
  TAIL_NOT_FOUND: {
    disposition: 'reject',
    status: 404,
    cause: 'The region holds nothing of this stream beyond its seal.',
    remedy: 'Take the stream from antipode tails, and name the region that holds the tail.',
  },
  TAIL_REPLAYED: {
    disposition: 'reject',
    status: 409,
    cause: 'The hub has taken over this tail, or part of it: it is in the store of every region.',
    remedy: 'Delete the rows that should not be there; the audit log names the range.',
  },
  STREAM_NOT_FOUND: {
    disposition: 'retry',
    status: 404,
    cause: 'The peer does not hold this stream.',
    remedy: 'None; the link asks another peer.',
  },
  EPOCH_STALE: {
    disposition: 'reset',
    status: 409,
    cause: 'The request belongs to an epoch that is closed.',
    remedy: 'Read the lease again and send to its holder.',
  },
  PROMISED: {
    disposition: 'retry',
    status: 409,
    cause: 'This region promised to mirror no more of the epoch until its seal is known.',
    remedy: 'None; the seal follows with the promotion.',
  },
  NO_HUB: {
    disposition: 'retry',
    status: 503,
    cause: 'No region holds the lease of the namespace, or its holder cannot be reached.',
    remedy: 'Retry with the same idempotency key; a takeover follows by itself where the policy allows it.',
  },
  NOT_HOLDER: {
    disposition: 'reset',
    status: 409,
    cause: 'This region does not hold the lease of the namespace.',
    remedy: 'Send to the holder; regions do this by themselves.',
  },
  OUTCOME_UNKNOWN: {
    disposition: 'unknown',
    status: 504,
    cause: 'The write may or may not have been accepted.',
    remedy: 'Retry with the same idempotency key: the answer tells what became of it.',
  },
  IDEMPOTENCY_KEY_REUSED: {
    disposition: 'reject',
    status: 422,
    cause: 'An idempotency key came again with another content than the first time.',
    remedy: 'Use a new key for every write; repeat a key only with exactly the same rows.',
  },
  OVERLOADED: {
    disposition: 'retry',
    status: 429,
    cause: 'A bounded queue is full.',
    remedy: 'Retry after the time in Retry-After.',
  },
  DISK_FULL: {
    disposition: 'retry',
    status: 507,
    cause: 'The disk of the region is below its reserve.',
    remedy: 'Free or add space; writes go on by themselves.',
  },
  REBUILDING: {
    disposition: 'retry',
    status: 503,
    cause: 'The region rebuilds its online store from its logs.',
    remedy: 'Read from another region until it is done; status shows the progress.',
  },
  CLOCK_SKEWED: {
    disposition: 'retry',
    status: 503,
    cause:
      'The wall clock of the region that accepts writes is too far from those of its peers, or the clock reading of the session or of its own last stamps lies too far ahead of it.',
    remedy: 'Set the clock right (status shows the offsets); the region goes on by itself when it is back.',
  },
  STALE_READ: {
    disposition: 'retry',
    status: 503,
    cause: 'The read asked for more than this region could show within its latency budget.',
    remedy:
      'Retry, raise antipode-latency-budget-ms, ask for less, or allow a stale answer with antipode-fallback: stale.',
  },
  SESSION_LOST: {
    disposition: 'reset',
    status: 409,
    cause: 'The session has seen or made changes that a failover lost: they lie beyond the seal of their epoch.',
    remedy: 'The message names them. Begin a new session without a token, and write again what must be there.',
  },
  CONSISTENCY_UNSUPPORTED: {
    disposition: 'reject',
    status: 422,
    cause: 'The namespace cannot give the consistency that the read asks for.',
    remedy: 'Ask for session or bounded consistency; strong reads need a namespace with one hub.',
  },
  UNAUTHENTICATED: {
    disposition: 'reject',
    status: 401,
    cause: 'The request carries no valid token.',
    remedy: 'Send Authorization: Bearer with a token from the tokens file that init wrote.',
  },
  FORBIDDEN: {
    disposition: 'reject',
    status: 403,
    cause: 'The token does not carry the right this request needs.',
    remedy: 'Use a token with the named role.',
  },
  CONTROL_UNAVAILABLE: {
    disposition: 'retry',
    status: 503,
    cause: 'The control store cannot be reached.',
    remedy: 'Reads go on; a hub that cannot renew its lease stops accepting. Restore the control store.',
  },
  PEER_UNAVAILABLE: {
    disposition: 'retry',
    status: 503,
    cause: 'A peer region cannot be reached.',
    remedy: 'Check the link; it reconnects by itself.',
  },
  PEER_TIMEOUT: {
    disposition: 'unknown',
    status: 504,
    cause: 'A peer did not answer in time.',
    remedy: 'Settle by reading or retry with the same idempotency key.',
  },
  PROTOCOL_MISMATCH: {
    disposition: 'stop',
    status: 400,
    cause: 'A peer speaks another version of the link protocol, or sent a message that is not part of it.',
    remedy: 'Run the same release in both regions.',
  },
  DATA_IN_USE: {
    disposition: 'stop',
    status: 409,
    cause: 'Another process uses this data folder.',
    remedy: 'Stop the other process, or use another data folder.',
  },
  PORT_IN_USE: {
    disposition: 'stop',
    status: 409,
    cause: 'Another process listens on this address.',
    remedy: 'Stop the other process, or change the address in antipode.yaml.',
  },
  UNSAFE_BINDING: {
    disposition: 'stop',
    status: 400,
    cause:
      'A face would listen beyond loopback without TLS or without tokens, or a socket would lie in a folder of another user.',
    remedy: 'Configure serving TLS and tokens, or bind to 127.0.0.1.',
  },
  CERTIFICATE_INVALID: {
    disposition: 'stop',
    status: 400,
    cause: 'A certificate or key is missing, expired or does not belong to this region.',
    remedy: 'Issue certificates with: antipode certs issue.',
  },
  FAILOVER_REFUSED: {
    disposition: 'reject',
    status: 409,
    cause: 'The promotion is not allowed or did not succeed.',
    remedy: 'The message names the reason; status shows which regions are eligible.',
  },
  LOSS_REFUSED: {
    disposition: 'reject',
    status: 409,
    cause:
      'The promotion might leave behind writes that were acknowledged, and the policy of the namespace refuses that.',
    remedy:
      'Bring back the named regions, or accept the loss: antipode failover NAMESPACE --to REGION --allow-loss. What they hold becomes a tail.',
  },
  ACKNOWLEDGE_IMPOSSIBLE: {
    disposition: 'reject',
    status: 422,
    cause: 'A write asks to be durable in more regions than the namespace has promotable ones beside its hub.',
    remedy: 'Ask for fewer regions.',
  },
  SOURCE_FAILED: {
    disposition: 'reject',
    status: 400,
    cause: 'The SQL or the source files of a feature view could not be read.',
    remedy: "Correct the SQL or the path; the message carries the engine's own words.",
  },
  AUDIT_BROKEN: {
    disposition: 'stop',
    status: 500,
    cause: 'The audit log was altered, shortened or reordered.',
    remedy: 'Keep the data folder for investigation; the message names the first entry that does not verify.',
  },
  INTERNAL: {
    disposition: 'stop',
    status: 500,
    cause: 'A fault of Antipode itself.',
    remedy: 'Report it with the log around this message.',
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface ErrorDetails {
  /** Where: file and line, row and column, stream and position. */
  readonly where?: string;
  readonly cause?: unknown;
  /** Overrides the registry's remedy where the caller knows a better one. */
  readonly remedy?: string;
}

/** The one error class that crosses layers. `message` says what was wrong; the registry says why and what to do. */
export class AntipodeError extends Error {
  readonly code: ErrorCode;
  readonly where: string | undefined;
  readonly remedy: string;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'AntipodeError';
    this.code = code;
    this.where = details.where;
    this.remedy = details.remedy ?? ERROR_CODES[code].remedy;
  }

  get disposition(): Disposition {
    return ERROR_CODES[this.code].disposition;
  }

  get status(): number {
    return ERROR_CODES[this.code].status;
  }

  toJSON(): { code: ErrorCode; message: string; where?: string; remedy: string } {
    const base = { code: this.code, message: this.message, remedy: this.remedy };
    return this.where === undefined ? base : { ...base, where: this.where };
  }
}

/** Wraps any caught value so that callers always hold an AntipodeError. */
export function toAntipodeError(caught: unknown, code: ErrorCode = 'INTERNAL'): AntipodeError {
  if (caught instanceof AntipodeError) return caught;
  const message = caught instanceof Error ? caught.message : String(caught);
  return new AntipodeError(code, message, { cause: caught });
}

/** A broken assertion is a bug: the process must not go on with a state it does not understand. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AntipodeError('INTERNAL', `assertion failed: ${message}`);
}
