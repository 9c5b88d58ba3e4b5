// An in-memory event store for the L sessions of the everything-upstream, so that a closed stream can be resumed.
// Must not outlive its session: one log per session.
import type { EventStore, JSONRPCMessage } from '@modelcontextprotocol/server';

export function createEventLog(): EventStore {
  const events: { readonly id: string; readonly stream: string; readonly message: JSONRPCMessage }[] = [];
  return {
    async storeEvent(stream, message) {
      const id = `${stream}_${events.length}`;
      events.push({ id, stream, message });
      return id;
    },
    async getStreamIdForEventId(id) {
      return events.find((event) => event.id === id)?.stream;
    },
    async replayEventsAfter(lastEventId, { send }) {
      const last = events.findIndex((event) => event.id === lastEventId);
      const stream = events[last]?.stream ?? '';
      for (const event of events.slice(last + 1)) {
        // A priming event has no message; replaying it would send an empty frame as JSON.
        if (event.stream === stream && 'jsonrpc' in event.message) await send(event.id, event.message);
      }
      return stream;
    },
  };
}
