import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { EventStream } from '../src/events';
import { FakeSocket, json, serving } from './server';

beforeEach(() => {
  FakeSocket.all = [];
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function stream(): EventStream {
  return new EventStream(serving(() => json({})).requests, 5000);
}

test('messages are handed on, and all is read anew after connecting', () => {
  const events = stream();
  const topics: string[] = [];
  let stale = 0;
  events.received.connect((_, event) => topics.push(event.topic));
  events.stale.connect(() => stale++);
  events.start();
  events.start();
  const [socket] = FakeSocket.all;
  socket?.open();
  socket?.tell({ topic: 'hello', change: 'hello', id: null, sequence: 0 });
  expect([FakeSocket.all.length, topics, stale, events.isConnected]).toEqual([
    1,
    ['hello'],
    1,
    true
  ]);
  events.dispose();
});

test('usage is asked for only while somebody looks', () => {
  const events = stream();
  events.start();
  const [socket] = FakeSocket.all;
  events.wantsUsage = true;
  expect(socket?.sent).toEqual([]);
  socket?.open();
  events.wantsUsage = false;
  expect(socket?.sent.map(text => text.includes('usage'))).toEqual([true, false]);
  events.dispose();
});

test('a lost connection is made again, later each time, and polled for meanwhile', async () => {
  const events = stream();
  let stale = 0;
  events.stale.connect(() => stale++);
  events.start();
  FakeSocket.all[0]?.open();
  FakeSocket.all[0]?.close();
  await vi.advanceTimersByTimeAsync(1000);
  expect(FakeSocket.all).toHaveLength(2);
  FakeSocket.all[1]?.close();
  await vi.advanceTimersByTimeAsync(1999);
  expect(FakeSocket.all).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(1);
  expect(FakeSocket.all).toHaveLength(3);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(stale).toBeGreaterThan(1);
  FakeSocket.all[2]?.open();
  const told = stale;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(stale).toBe(told);
  events.dispose();
});

test('a disposed stream closes its connection and makes no other', async () => {
  const events = stream();
  events.start();
  FakeSocket.all[0]?.open();
  events.dispose();
  expect(FakeSocket.all[0]?.readyState).toBe(3);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(FakeSocket.all).toHaveLength(1);
  events.dispose();
});
