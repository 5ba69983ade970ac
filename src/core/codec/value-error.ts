/** A value that is not one of its type, without context: the row codec adds view and column. */
export class ValueError extends Error {
  readonly remedy: string | undefined;

  constructor(message: string, remedy?: string) {
    super(message);
    this.name = 'ValueError';
    this.remedy = remedy;
  }
}
