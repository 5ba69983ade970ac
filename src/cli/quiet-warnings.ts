/**
 * Node announces some of what Antipode uses (SQLite's file lock) as experimental, once a process. The versions are pinned
 * and tested; the operator of a region can do nothing with the line, and it would stand in the middle of answers.
 * Import this before anything else.
 */
const emitWarning = process.emitWarning.bind(process);

process.emitWarning = ((warning: string | Error, ...rest: unknown[]): void => {
  const named = rest[0];
  const type =
    typeof named === 'string'
      ? named
      : typeof named === 'object' && named !== null && 'type' in named
        ? named.type
        : undefined;
  if (type === 'ExperimentalWarning' || (warning instanceof Error && warning.name === 'ExperimentalWarning')) return;
  (emitWarning as (warning: string | Error, ...rest: unknown[]) => void)(warning, ...rest);
}) as typeof process.emitWarning;
