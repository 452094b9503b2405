import { expect, test } from 'vitest';
import { HistoryModel, untrusted } from '../src/models/history';
import { KernelsModel, PlacesModel } from '../src/models/kernels';
import { SessionsModel } from '../src/models/sessions';
import { StorageModel } from '../src/models/storage';
import { json, kernel, serving } from './server';

const usage = {
  memory: 2 ** 20,
  memory_limit: null,
  memory_peak: 2 ** 20,
  cpu: 1,
  cpu_percent: 5,
  processes: 1,
  measured: '2026-01-01T00:00:00+00:00'
};

test('kernels are read, and changed by events', async () => {
  const { requests } = serving(() => json({ kernels: [kernel()] }));
  const model = new KernelsModel(requests);
  let changes = 0;
  model.changed.connect(() => changes++);
  await model.refresh();
  expect(model.get('k1')?.state).toBe('idle');
  model.apply({
    topic: 'kernels',
    change: 'changed',
    id: 'k1',
    sequence: 1,
    kernel: kernel({ state: 'busy' })
  });
  expect(model.get('k1')?.state).toBe('busy');
  model.apply({ topic: 'usage', change: 'measured', id: 'k1', sequence: 2, usage });
  expect(model.get('k1')?.usage).toEqual(usage);
  model.apply({ topic: 'kernels', change: 'ended', id: 'k1', sequence: 3 });
  expect(model.kernels).toEqual([]);
  expect(changes).toBe(4);
});

test('what was measured stays when an event about something else comes', () => {
  const model = new KernelsModel(serving(() => json({})).requests);
  model.apply({
    topic: 'kernels',
    change: 'started',
    id: 'k1',
    sequence: 1,
    kernel: kernel({ usage })
  });
  model.apply({ topic: 'kernels', change: 'changed', id: 'k1', sequence: 2, kernel: kernel() });
  expect(model.get('k1')?.usage).toEqual(usage);
});

test('a death is told once, with its reason', () => {
  const model = new KernelsModel(serving(() => json({})).requests);
  const reasons: string[] = [];
  model.died.connect((_, dead) => reasons.push(dead.death?.reason ?? ''));
  const death = { reason: 'killed: 512 MB limit', kind: 'memory', at: '2026-01-01T00:00:00+00:00' };
  model.apply({
    topic: 'kernels',
    change: 'died',
    id: 'k1',
    sequence: 1,
    kernel: kernel({ death })
  });
  model.apply({
    topic: 'kernels',
    change: 'changed',
    id: 'k1',
    sequence: 2,
    kernel: kernel({ death })
  });
  expect(reasons).toEqual(['killed: 512 MB limit']);
});

test('usage of an unknown kernel is dropped', () => {
  const model = new KernelsModel(serving(() => json({})).requests);
  model.apply({ topic: 'usage', change: 'measured', id: 'gone', sequence: 1, usage });
  expect(model.kernels).toEqual([]);
});

test('a failure is kept, what was known stays, and the next success takes the failure away', async () => {
  let fails = false;
  const { requests } = serving(() =>
    fails
      ? json({ error: 'Busy', message: 'Later.', remedy: '' }, 503)
      : json({ kernels: [kernel()] })
  );
  const model = new KernelsModel(requests);
  await model.refresh();
  fails = true;
  await model.refresh();
  expect(model.failure?.message).toBe('Later.');
  expect(model.kernels).toHaveLength(1);
  fails = false;
  await model.refresh();
  expect(model.failure).toBeNull();
});

test('calls during a reading are answered by one more reading', async () => {
  const { requests, asked } = serving(() => json({ kernels: [] }));
  const model = new KernelsModel(requests);
  await Promise.all([1, 2, 3, 4].map(() => model.refresh()));
  expect(asked).toHaveLength(2);
});

test('a disposed model asks and tells nothing more', async () => {
  const { requests, asked } = serving(() => json({ kernels: [] }));
  const model = new KernelsModel(requests);
  let changes = 0;
  model.changed.connect(() => changes++);
  model.dispose();
  await model.refresh();
  expect([asked.length, changes]).toEqual([0, 0]);
});

test('places are looked at again only when asked', async () => {
  const { requests, asked } = serving(() => json({ places: [{ kernel_name: 'pcm-venv' }] }));
  const model = new PlacesModel(requests);
  await model.refresh();
  await model.lookAgain();
  await model.refresh();
  expect(asked.map(one => new URL(one.url).search)).toEqual(['', '?refresh=true', '']);
  expect(model.ofKernel('pcm-venv')).toBeDefined();
  expect(model.ofKernel('python3')).toBeUndefined();
});

test('sessions are read again after they were steered, even in vain', async () => {
  const { requests, asked } = serving(one =>
    one.method === 'POST'
      ? json({ error: 'SessionNotFoundError', message: 'It has ended.', remedy: '' }, 404)
      : json({ sessions: [] })
  );
  const model = new SessionsModel(requests);
  await expect(model.steer('s', 'stop')).rejects.toThrow('It has ended.');
  expect(asked.map(one => one.method)).toEqual(['POST', 'GET']);
});

test('artifacts come in pages, and versions of those that are open', async () => {
  const page = (names: string[], next: string | null): Response =>
    json({ artifacts: names.map(name => ({ name })), next, total: 3 });
  const { requests, asked } = serving(one => {
    const url = new URL(one.url);
    if (url.pathname.endsWith('/versions')) {
      return json({ versions: [{ name: 'a', version: 1 }] });
    }
    if (url.pathname.endsWith('/workflows')) {
      return json({ workflows: [{ name: 'w' }] });
    }
    return url.searchParams.has('after') ? page(['c'], null) : page(['a', 'b'], 'b');
  });
  const model = new StorageModel(requests);
  await model.refresh();
  expect(model.artifacts.map(one => one.name)).toEqual(['a', 'b', 'c']);
  expect([model.total, model.hasMore, model.workflows.length]).toEqual([3, false, 1]);
  await model.toggle('a');
  expect(model.versions('a')).toHaveLength(1);
  await model.setFilter('x');
  expect(asked.some(one => one.url.includes('filter=x'))).toBe(true);
  await model.toggle('a');
  expect(model.versions('a')).toBeUndefined();
});

test('the history is searched, and goes back page by page', async () => {
  const { requests, asked } = serving(one => {
    const before = Number(new URL(one.url).searchParams.get('before') ?? 1000);
    const runs = Array.from({ length: 50 }, (_, number) => ({ id: before - 1 - number }));
    return json({ runs, next: before - 50 });
  });
  const model = new HistoryModel(requests);
  await model.setSearch('plot');
  expect([model.runs.length, model.hasMore]).toEqual([50, true]);
  await model.more();
  expect(model.runs.map(run => run.id)).toEqual(
    Array.from({ length: 100 }, (_, number) => 999 - number)
  );
  expect(asked.every(one => one.url.includes('search=plot'))).toBe(true);
});

test('a notebook of runs claims nothing of being trusted', () => {
  const notebook = untrusted({
    nbformat: 4,
    nbformat_minor: 5,
    metadata: { signature: 'x', title: 'kept' },
    cells: [
      {
        cell_type: 'code',
        source: '1',
        metadata: { trusted: true, tags: ['kept'] },
        outputs: [],
        execution_count: 1
      }
    ]
  });
  expect(notebook.cells[0]?.metadata).toEqual({ tags: ['kept'] });
  expect(notebook.metadata).toEqual({ title: 'kept' });
});
