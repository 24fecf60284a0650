import type { Socket } from 'node:net';

/** What a client on the same continent needs to read an alert, and to close by itself. */
const HEARD_MS = 300;

/**
 * Keeps a connection open for a moment after TLS has refused it. Closed with bytes unread it would be reset, and a client
 * that is just writing its request finds the reset before the alert that says what it did wrong. The next that wants it
 * closed gets it closed at once.
 */
export function leaveTimeForAlert(socket: Socket): void {
  const { destroy } = socket;
  socket.destroy = (error) => {
    socket.destroy = destroy;
    setTimeout(() => socket.destroy(error), HEARD_MS).unref();
    return socket;
  };
}
