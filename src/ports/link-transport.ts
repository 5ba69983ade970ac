/**
 * A connection between two authenticated nodes: regions, and the control store. Carries whole messages in order; what was
 * sent may be lost only by the loss of the whole channel.
 */
export interface Channel {
  /** Name the other end proved to own (its certificate's), such as `eu-west` or `control`. */
  readonly peer: string;
  /**
   * Queues one message of at most MAX_MESSAGE_BYTES. Returns false when the channel holds more unsent bytes than its
   * limit: wait for `drained` before sending more. After close it is a no-op that returns false.
   */
  send(message: Uint8Array): boolean;
  /** Resolves when the unsent bytes are below the limit, or the channel is closed. */
  drained(): Promise<void>;
  /** Sets the one receiver of messages. Messages that came earlier are kept (bounded by the transport's window) and delivered first. */
  onMessage(receive: (message: Buffer) => void): void;
  /** Called once when the channel ends, however it ends; at once when it already has. */
  onClose(closed: (reason: string) => void): void;
  close(reason: string): void;
  readonly closed: boolean;
  /** Bytes sent and received on the wire, for metering. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

export interface LinkTransport {
  /** Opens a channel to a named node and checks that it is that node. Rejects with PEER_UNAVAILABLE or CERTIFICATE_INVALID. */
  connect(peer: string, signal?: AbortSignal): Promise<Channel>;
  /** Accepts channels from now on. Rejects with PORT_IN_USE. */
  listen(accept: (channel: Channel) => void): Promise<void>;
  /** Closes the listener and every channel. */
  close(): Promise<void>;
}

/** Largest message on a channel, bytes. Frames are at most half of it, so that headers always fit. */
export const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
