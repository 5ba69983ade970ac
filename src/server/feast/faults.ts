import { AntipodeError, type ErrorCode } from '#core/errors';

/**
 * An error in Feast's own shape: a JSON string whose content is JSON, which Feast's client turns back into the Python
 * class. What Feast answers with 500 although the caller is at fault gets a 4xx here: Feast's client repeats a 500 three
 * times, for three seconds, and loses the message.
 */
export class FeastFault extends AntipodeError {
  readonly feastClass: string;
  readonly #status: number;

  constructor(code: ErrorCode, feastClass: string, message: string, status: number) {
    super(code, message);
    this.feastClass = feastClass;
    this.#status = status;
  }

  override get status(): number {
    return this.#status;
  }
}

/** One entry of a validation answer, as FastAPI writes it. */
export interface Violation {
  readonly type: string;
  /** Path to the value, from `body`. */
  readonly loc: readonly (string | number)[];
  readonly msg: string;
  readonly input: unknown;
}

/** A request whose body does not have the shape of its route: 422 with `{"detail": [...]}`, as FastAPI answers. */
export class ValidationFault extends AntipodeError {
  readonly violations: readonly Violation[];

  constructor(violations: readonly Violation[], options: { readonly code?: ErrorCode; readonly cause?: unknown } = {}) {
    const first = violations[0];
    super(
      options.code ?? 'REQUEST_MALFORMED',
      first === undefined ? 'the body is not valid' : `${first.loc.join('.')}: ${first.msg}`,
      {
        ...(options.cause === undefined ? {} : { cause: options.cause }),
      },
    );
    this.violations = violations;
  }

  override get status(): number {
    return 422;
  }
}

export function violation(
  type: string,
  loc: readonly (string | number)[],
  msg: string,
  input: unknown,
): ValidationFault {
  return new ValidationFault([{ type, loc: ['body', ...loc], msg, input: brief(input) }]);
}

/** The part of an input that goes back into an error message: scalars, cut short; never a whole body. */
export function brief(input: unknown): unknown {
  if (typeof input === 'string') return input.length > 100 ? `${input.slice(0, 100).toWellFormed()}…` : input;
  if (typeof input === 'bigint') return String(input);
  if (typeof input !== 'object' || input === null) return input ?? null;
  return Array.isArray(input) ? `a list of ${input.length}` : 'an object';
}

export function viewNotFound(view: string, project: string): FeastFault {
  return new FeastFault(
    'VIEW_NOT_FOUND',
    'FeatureViewNotFoundException',
    `Feature view ${brief(view)} does not exist in project ${project}`,
    404,
  );
}

export function featureServiceNotFound(name: string, project: string): FeastFault {
  return new FeastFault(
    'VIEW_NOT_FOUND',
    'FeatureServiceNotFoundException',
    `Feature service ${brief(name)} does not exist in project ${project}`,
    404,
  );
}

export function featureNotFound(view: string, feature: string): FeastFault {
  return new FeastFault(
    'FEATURE_NOT_FOUND',
    'FeastObjectNotFoundException',
    `Feature ${brief(feature)} not found in projection ${view}`,
    404,
  );
}

export function objectNotRecognized(name: string): FeastFault {
  return new FeastFault(
    'VIEW_NOT_FOUND',
    'FeastObjectNotFoundException',
    `Can't recognize feast object with a name ${brief(name)}`,
    404,
  );
}

export function pushSourceNotFound(name: string): FeastFault {
  return new FeastFault(
    'VIEW_NOT_FOUND',
    'PushSourceNotFoundException',
    `Unable to find push source '${brief(name)}'.`,
    422,
  );
}

export function nameCollision(names: readonly string[], fullFeatureNames: boolean): FeastFault {
  const advice = fullFeatureNames
    ? 'To resolve this collision, please ensure that the feature views or their own features have different names.'
    : "To resolve this collision, either use the full feature name by setting 'full_feature_names=True', or ensure that the features in question have different names.";
  return new FeastFault(
    'REQUEST_MALFORMED',
    'FeatureNameCollisionError',
    `Duplicate features named ${names.map((name) => brief(name)).join(', ')} found.\n${advice}`,
    422,
  );
}

/** What Feast raises as a ValueError or KeyError: the client shows the message of its base class. */
export function invalidRequest(message: string): FeastFault {
  return new FeastFault('REQUEST_MALFORMED', 'FeastError', message, 422);
}

/** The double-encoded body. Python writes the inner JSON with spaces after `:` and `,` and in ASCII; so do we. */
export function feastErrorBody(feastClass: string, message: string): string {
  const inner = `{"module": "feast.errors", "class": ${asciiJson(feastClass)}, "message": ${asciiJson(message)}}`;
  return JSON.stringify(inner);
}

function asciiJson(text: string): string {
  // Every unit beyond ASCII, surrogates one by one: exactly what Python's ensure_ascii does.
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
