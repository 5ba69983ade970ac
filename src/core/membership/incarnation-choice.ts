/** What a peer says of this region's streams: `whole` when it holds nothing that is not here, `ahead` when it does. */
export type PeerWord = 'whole' | 'ahead' | 'silent';

/** What the control store says: `none` without a record, else as `judgeByRecord`. */
export type ControlWord = 'silent' | 'none' | 'fits' | 'closed' | 'behind';

/** `keep` the incarnation in the journal, `mint` a new one, or `wait` for more words: reads yes, appends no. */
export type IncarnationChoice = 'keep' | 'mint' | 'wait';

/**
 * P1.4 for a member of an active-active namespace, before its first append after a start.
 *
 * The old incarnation goes on only when the control store answered, nobody is ahead, and either every peer says `whole` or
 * the record is that of an orderly stop. Without the control store a record of an orderly stop could remain behind that a
 * later copy of this disk would fit again. A new incarnation is always safe for seqs; it begins once every peer has
 * answered, or once the control store has and the peers had their time.
 */
export function chooseIncarnation(options: {
  /** The journal names an incarnation. */
  readonly known: boolean;
  readonly control: ControlWord;
  readonly peers: readonly PeerWord[];
  /** The peers had their time. */
  readonly patienceOver: boolean;
}): IncarnationChoice {
  const { known, control, peers, patienceOver } = options;
  const answered = peers.every((word) => word !== 'silent');
  const ahead = control === 'behind' || peers.includes('ahead');
  if (known && !ahead && control !== 'silent' && (answered || control === 'closed')) return 'keep';
  if (answered || (control !== 'silent' && patienceOver)) return 'mint';
  return 'wait';
}
