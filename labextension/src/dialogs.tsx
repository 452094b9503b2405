/**
 * Dialogs: isolation in detail, what to do about a place, what is about to be lost.
 */
import { Dialog, ReactWidget, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import type { Isolation, KernelInfo, Place } from './api';
import { placeLabel } from './models/text';
import { IsolationBody } from './panels/isolation';
import { RequestError } from './requests';
import type { ICodeMode } from './tokens';

/** Show a failure, and what to do about it. */
export async function showFailure(error: unknown, trans: TranslationBundle): Promise<void> {
  const message = error instanceof Error ? error.message : String(error);
  const remedy = error instanceof RequestError ? error.remedy : '';
  await showDialog({
    title: trans.__('That did not work'),
    body: remedy ? `${message} ${remedy}` : message,
    buttons: [Dialog.okButton({ label: trans.__('Close') })]
  });
}

/** Do something, and show why it failed if it does. */
export async function attempt(
  work: () => Promise<unknown>,
  trans: TranslationBundle
): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    await showFailure(error, trans);
    return false;
  }
}

/** Ask before something is lost. */
export async function confirm(title: string, body: string, label: string): Promise<boolean> {
  const result = await showDialog({
    title,
    body,
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label })]
  });
  return result.button.accept;
}

async function showFacts(
  title: string,
  body: React.JSX.Element,
  canMeasure: boolean,
  trans: TranslationBundle
): Promise<boolean> {
  const close = Dialog.okButton({ label: trans.__('Close') });
  const again = Dialog.createButton({
    label: trans.__('Measure again'),
    accept: true,
    actions: ['measure']
  });
  const result = await showDialog({
    title,
    body: ReactWidget.create(body),
    buttons: canMeasure ? [again, close] : [close],
    defaultButton: canMeasure ? 1 : 0
  });
  return result.button.actions.includes('measure');
}

/** Show what was measured of a kernel's isolation, and measure again as often as asked. */
export async function showKernelIsolation(
  id: string | undefined,
  codeMode: ICodeMode,
  trans: TranslationBundle
): Promise<void> {
  for (;;) {
    const kernel: KernelInfo | undefined = id === undefined ? undefined : codeMode.kernels.get(id);
    const isolation = kernel?.isolation ?? null;
    const title =
      kernel === undefined
        ? trans.__('Isolation')
        : trans.__('Isolation: %1', placeLabel(kernel.place, trans));
    const body = <IsolationBody isolation={isolation} kernel={kernel} trans={trans} />;
    const canMeasure = kernel !== undefined && kernel.place !== null;
    if (!(await showFacts(title, body, canMeasure, trans)) || kernel === undefined) {
      return;
    }
    if (!(await attempt(() => codeMode.kernels.probe(kernel.id), trans))) {
      return;
    }
  }
}

/** Measure a session's isolation, and show it. */
export async function showSessionIsolation(
  id: string,
  name: string,
  codeMode: ICodeMode,
  trans: TranslationBundle
): Promise<void> {
  let isolation: Isolation | null = null;
  const measure = async (): Promise<void> => {
    isolation = await codeMode.sessions.probe(id);
  };
  do {
    if (!(await attempt(measure, trans))) {
      return;
    }
  } while (
    await showFacts(
      trans.__('Isolation of session %1', name),
      <IsolationBody isolation={isolation} kernel={undefined} trans={trans} />,
      true,
      trans
    )
  );
}

/** Say why a place is not available and what to do; true once it is. */
export async function offerRemedy(
  kernelName: string,
  codeMode: ICodeMode,
  trans: TranslationBundle
): Promise<boolean> {
  for (;;) {
    const place: Place | undefined = codeMode.places.ofKernel(kernelName);
    if (place === undefined || place.is_available) {
      return true;
    }
    const result = await showDialog({
      title: trans.__('%1 is not available', place.display_name),
      body: ReactWidget.create(
        <div className="pcm-Remedy">
          <p>{place.message}</p>
          <p>{place.remedy}</p>
        </div>
      ),
      buttons: [Dialog.cancelButton(), Dialog.okButton({ label: trans.__('Look again') })]
    });
    if (!result.button.accept) {
      return false;
    }
    await codeMode.places.lookAgain();
  }
}
