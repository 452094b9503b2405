import { expect, test } from 'vitest';
import { RequestError } from '../src/requests';
import { json, serving } from './server';

test('names are one part of the path, whatever they hold', async () => {
  const { requests, asked } = serving(() => json({ versions: [] }));
  await requests.versions('../a b?c#d/é');
  expect(asked[0]?.url).toBe(
    'http://localhost/base/pcm/artifacts/..%2Fa%20b%3Fc%23d%2F%C3%A9/versions'
  );
});

test('empty parameters are left out, and others are escaped', async () => {
  const { requests, asked } = serving(() => json({ artifacts: [], next: null, total: 0 }));
  await requests.artifacts({ filter: '', after: null, limit: 5 });
  await requests.artifacts({ filter: 'a&b=c', after: 'x' });
  expect(asked.map(one => new URL(one.url).search)).toEqual([
    '?limit=5',
    '?filter=a%26b%3Dc&after=x'
  ]);
});

test('a failure carries kind, sentence and remedy', async () => {
  const said = { error: 'EngineError', message: 'No engine.', remedy: 'Start it.' };
  const { requests } = serving(() => json(said, 503));
  const error: unknown = await requests.kernels().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(RequestError);
  expect(error).toMatchObject({
    status: 503,
    kind: 'EngineError',
    message: 'No engine.',
    remedy: 'Start it.'
  });
  expect((error as RequestError).isAbsent).toBe(false);
});

test('a server without the extension is told from one that does not know a name', async () => {
  const absent = serving(() => new Response('<html>404</html>', { status: 404 }));
  await expect(absent.requests.places()).rejects.toMatchObject({ isAbsent: true });
  const said = { error: 'NotFound', message: 'No such artifact.', remedy: '' };
  const unknown = serving(() => json(said, 404));
  await expect(unknown.requests.preview('x')).rejects.toMatchObject({ isAbsent: false });
});

test('a failure whose fields are of other types is shown all the same', async () => {
  const { requests } = serving(() =>
    json({ error: 1, message: { toString: 1 }, remedy: null }, 500)
  );
  await expect(requests.kernels()).rejects.toMatchObject({ kind: '', remedy: '', status: 500 });
});

test('each verb asks for its own route', async () => {
  const { requests, asked } = serving(() => new Response(null, { status: 204 }));
  await requests.steer('s/1', 'stop');
  await requests.deleteArtifact('a');
  await requests.deleteWorkflow('w');
  expect(asked.map(one => `${one.method} ${new URL(one.url).pathname}`)).toEqual([
    'POST /base/pcm/sessions/s%2F1/stop',
    'DELETE /base/pcm/artifacts/a',
    'DELETE /base/pcm/workflows/w'
  ]);
});

test('settings are sent for the kernel that is to keep them', async () => {
  const { requests, asked } = serving(() => json({ is_valid: true }));
  await requests.checkSettings('pcm-container', { memory: '256m' });
  expect(JSON.parse(asked[0]?.body ?? '')).toEqual({
    kernel_name: 'pcm-container',
    settings: { memory: '256m' }
  });
});

test('the event stream carries the token where the page has no cookie', () => {
  const { requests } = serving(() => json({}));
  expect(requests.openEvents().url).toBe('ws://localhost/base/pcm/events?token=secret%20token');
});
