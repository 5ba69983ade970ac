import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';

/** A bug as a change of one place in the source, made while the file is loaded. */
export interface SourceEdit {
  /** From the root of the repository. */
  readonly file: string;
  /** Stands exactly once in the file. */
  readonly find: string;
  readonly put: string;
}

const ROOT = new URL('../../../', import.meta.url);

function urlOf(edit: SourceEdit): string {
  return new URL(edit.file, ROOT).href;
}

/** Why the edit does not fit the source; undefined when it does. */
export function misfit(edit: SourceEdit): string | undefined {
  const count = readFileSync(fileURLToPath(urlOf(edit)), 'utf8').split(edit.find).length - 1;
  return count === 1 ? undefined : `${JSON.stringify(edit.find)} stands ${count} times in ${edit.file}, not once`;
}

/** Has the files changed as they are loaded into this thread; call it before anything imports them. */
export function installEdits(edits: readonly SourceEdit[]): void {
  for (const edit of edits) {
    const problem = misfit(edit);
    if (problem !== undefined) throw new Error(problem);
  }
  registerHooks({
    load: (url, context, nextLoad) => {
      const loaded = nextLoad(url, context);
      const fitting = edits.filter((edit) => urlOf(edit) === url);
      if (fitting.length === 0) return loaded;
      const before = loaded.source === undefined || loaded.source === null ? '' : Buffer.from(loaded.source as Buffer);
      let source = before.toString('utf8');
      for (const { find, put } of fitting) source = source.replace(find, () => put);
      return { ...loaded, source };
    },
  });
}
